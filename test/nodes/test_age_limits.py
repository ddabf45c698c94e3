from __future__ import annotations

from dataclasses import dataclass

import pytest

from vla_inference_ros.core.validity import AgeBudget, Budgets
from vla_inference_ros.nodes.action_expert import ActionExpertConfig
from vla_inference_ros.nodes.age_limits import age_budget, age_limit
from vla_inference_ros.nodes.parameters import ParameterError, Specification, specifications
from vla_inference_ros.nodes.vlm import VlmConfig


@dataclass(frozen=True, slots=True)
class Config:
    lamp_age_soft: float = age_limit(0.25, "age of the lamp")
    lamp_age_hard: float = age_limit(0.5, "likewise")


def test_a_limit_is_a_parameter_in_seconds_from_a_millisecond_to_an_hour() -> None:
    assert specifications(Config) == {
        "lamp_age_soft": (0.25, Specification("age of the lamp [s]", 0.001, 3600.0)),
        "lamp_age_hard": (0.5, Specification("likewise [s]", 0.001, 3600.0)),
    }


def test_two_limits_make_a_budget() -> None:
    assert age_budget(Config(), "lamp") == AgeBudget(soft=0.25, hard=0.5)
    assert age_budget(Config(0.001, 3600.0), "lamp") == AgeBudget(soft=0.001, hard=3600.0)


def test_both_limits_may_be_one() -> None:
    assert age_budget(Config(0.3, 0.3), "lamp") == AgeBudget(soft=0.3, hard=0.3)


def test_a_soft_limit_over_the_hard_one_is_refused_by_name() -> None:
    expected = "parameter 'lamp_age_soft' is 0.6, more than 'lamp_age_hard', 0.5"
    with pytest.raises(ParameterError, match=expected):
        age_budget(Config(0.6, 0.5), "lamp")


@pytest.mark.parametrize("name", ["features", "sensor", "robot"])
def test_the_experts_defaults_are_those_of_the_judgement(name: str) -> None:
    assert age_budget(ActionExpertConfig(), name) == getattr(Budgets(), name)


def test_the_vlms_defaults() -> None:
    assert age_budget(VlmConfig(), "image") == AgeBudget(soft=0.2, hard=1.0)
