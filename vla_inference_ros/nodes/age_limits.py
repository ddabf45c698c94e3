"""The parameters that say how old an input may be."""

from __future__ import annotations

from vla_inference_ros.core.validity import AgeBudget
from vla_inference_ros.nodes.parameters import ParameterError, parameter

_LONGEST = 3600.0  # [s]


def age_limit(default: float, description: str) -> float:
    """A parameter field for an age [s], named ``<input>_age_soft`` or ``<input>_age_hard``."""
    limit: float = parameter(default, f"{description} [s]", minimum=0.001, maximum=_LONGEST)
    return limit


def age_budget(config: object, name: str) -> AgeBudget:
    """The budget that the two parameters of an input make; ParameterError if soft is over hard."""
    soft, hard = (float(getattr(config, f"{name}_age_{kind}")) for kind in ("soft", "hard"))
    if soft > hard:
        raise ParameterError(
            f"parameter '{name}_age_soft' is {soft}, more than '{name}_age_hard', {hard}"
        )
    return AgeBudget(soft, hard)
