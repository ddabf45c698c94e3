from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from vla_inference_ros.core.validity import AgeBudget, Budgets, Inputs, Verdict, judge

HORIZON, STEP = 8, 0.1
GOOD = Inputs(
    features_age=0.5,
    reuse_index=4,
    reuse_limit=4,
    sensor_age=0.01,
    sensor_clock_known=True,
    samples=65,
    window=65,
    robot_age=0.02,
)
FINE = Verdict("", [], HORIZON)
WITH_ROBOT = Budgets(robot_required=True)


def verdict(budgets: Budgets | None = None, **changes: Any) -> Verdict:
    """On good inputs but for these changes, with the default budgets."""
    return judge(replace(GOOD, **changes), budgets or Budgets(), HORIZON, STEP)


# --- budgets


def test_the_default_budgets() -> None:
    budgets = Budgets()
    assert budgets.features == AgeBudget(soft=1.0, hard=2.0)
    assert budgets.sensor == AgeBudget(soft=0.1, hard=0.3)
    assert budgets.robot == AgeBudget(soft=0.1, hard=0.5)
    assert not budgets.robot_required
    assert budgets.min_samples == 33


@pytest.mark.parametrize(
    ("soft", "hard"), [(0.0, 1.0), (-0.1, 1.0), (1.1, 1.0), (math.nan, 1.0), (1.0, math.nan)]
)
def test_limits_that_make_no_budget_are_refused(soft: float, hard: float) -> None:
    with pytest.raises(ValueError, match=f"soft limit {soft} s and hard limit {hard} s: not 0 <"):
        AgeBudget(soft, hard)


def test_one_limit_may_be_both() -> None:
    budget = AgeBudget(0.5, 0.5)
    assert budget.excess("it is", 0.5) == ("", False)
    assert budget.excess("it is", 0.51) == ("it is 0.51 s old, over the limit of 0.5 s", True)


def test_an_input_of_two_sources_is_held_for_before_all_else() -> None:
    conflicts = ["/robot/state has more than one publisher: a, b", "another"]
    found = verdict(conflicts=conflicts, sensor_age=0.4)
    assert found.hold.startswith("; ".join(conflicts) + "; the newest sensor sample is")


# --- ages


def test_good_inputs_have_no_reservations() -> None:
    assert verdict() == FINE
    assert verdict(reuse_index=1, features_age=0.0, sensor_age=0.0, robot_age=0.0) == FINE
    assert verdict(WITH_ROBOT) == FINE


@pytest.mark.parametrize(
    ("age", "soft"), [("features_age", 1.0), ("sensor_age", 0.1), ("robot_age", 0.1)]
)
def test_an_age_at_its_soft_limit_is_within_it_and_so_from_the_future(
    age: str, soft: float
) -> None:
    assert verdict(WITH_ROBOT, **{age: soft}) == FINE
    assert verdict(WITH_ROBOT, **{age: -soft}) == FINE
    assert verdict(WITH_ROBOT, **{age: math.nextafter(soft, math.inf)}) != FINE
    assert verdict(WITH_ROBOT, **{age: math.nextafter(-soft, -math.inf)}) != FINE


@pytest.mark.parametrize(
    ("ages", "reason"),
    [
        ({"features_age": 1.25}, "features are 1.25 s old, over 1 s"),
        ({"sensor_age": 0.14}, "the newest sensor sample is 0.14 s old, over 0.1 s"),
        ({"robot_age": 0.2}, "robot state is 0.20 s old, over 0.1 s"),
    ],
)
@pytest.mark.parametrize("budgets", [Budgets(), WITH_ROBOT])
def test_an_age_over_its_soft_limit_is_a_reason(
    budgets: Budgets, ages: dict[str, float], reason: str
) -> None:
    found = verdict(budgets, **ages)
    assert (found.hold, found.reasons) == ("", [reason])
    assert 1 <= found.valid_steps <= HORIZON // 2


@pytest.mark.parametrize(
    ("age", "hard"), [("features_age", 2.0), ("sensor_age", 0.3), ("robot_age", 0.5)]
)
def test_an_age_at_its_hard_limit_leaves_one_step(age: str, hard: float) -> None:
    found = verdict(WITH_ROBOT, **{age: hard})
    assert (found.hold, len(found.reasons), found.valid_steps) == ("", 1, 1)
    assert verdict(WITH_ROBOT, **{age: math.nextafter(hard, math.inf)}).hold


@pytest.mark.parametrize(
    ("ages", "hold"),
    [
        ({"features_age": 2.5}, "features are 2.50 s old, over the limit of 2 s"),
        ({"sensor_age": 0.31}, "the newest sensor sample is 0.31 s old, over the limit of 0.3 s"),
        ({"robot_age": 0.6}, "robot state is 0.60 s old, over the limit of 0.5 s"),
        ({"sensor_age": math.inf}, "the newest sensor sample is inf s old, over the limit"),
        ({"features_age": -1.5}, "features are 1.50 s from the future: do the clocks agree?"),
        ({"sensor_age": -0.25}, "the newest sensor sample is 0.25 s from the future: do the"),
        ({"robot_age": -0.2}, "robot state is 0.20 s from the future: do the clocks agree?"),
        ({"features_age": math.nan}, "features are of unknown age"),
        ({"sensor_age": math.nan}, "the newest sensor sample is of unknown age"),
        ({"robot_age": math.nan}, "robot state is of unknown age"),
    ],
)
def test_an_input_over_its_hard_limit_from_the_future_or_of_no_age_is_unusable(
    ages: dict[str, float], hold: str
) -> None:
    assert verdict(WITH_ROBOT, **ages).hold.startswith(hold)


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (0.2, "robot state is 0.20 s old, over 0.1 s"),
        (0.6, "robot state is 0.60 s old, over the limit of 0.5 s"),
        (1e6, "robot state is 1000000.00 s old, over the limit of 0.5 s"),
        (-0.2, "robot state is 0.20 s from the future: do the clocks agree?"),
        (math.nan, "robot state is of unknown age"),
        (None, "no robot state yet"),
    ],
)
def test_a_robot_state_that_is_not_required_only_halves_the_valid_steps(
    age: float | None, reason: str
) -> None:
    assert verdict(robot_age=age) == Verdict("", [reason], HORIZON // 2)


# --- valid steps


@pytest.mark.parametrize(
    ("features_age", "steps"),
    [(1.05, 4), (1.5, 4), (1.65, 4), (1.75, 3), (1.85, 2), (1.95, 1), (1.999, 1)],
)
def test_valid_steps_begin_before_the_hard_limit(features_age: float, steps: int) -> None:
    assert verdict(features_age=features_age).valid_steps == steps


@pytest.mark.parametrize(
    ("robot_age", "steps"), [(0.15, 4), (0.25, 3), (0.35, 2), (0.45, 1), (0.499, 1)]
)
def test_the_age_of_a_required_robot_state_shortens_too(robot_age: float, steps: int) -> None:
    assert verdict(WITH_ROBOT, robot_age=robot_age).valid_steps == steps
    assert verdict(robot_age=robot_age).valid_steps == HORIZON // 2


def test_the_nearest_hard_limit_decides() -> None:
    assert verdict(features_age=1.75, sensor_age=0.15).valid_steps == 2
    assert verdict(features_age=1.95, sensor_age=0.15).valid_steps == 1


def test_a_step_that_begins_at_the_hard_limit_is_within_it() -> None:
    budgets = Budgets(features=AgeBudget(1.0, 2.0))
    exact = replace(GOOD, features_age=1.75)  # these numbers are exact in binary
    assert judge(exact, budgets, HORIZON, 0.125).valid_steps == 3
    later = replace(GOOD, features_age=math.nextafter(1.75, 2.0))
    assert judge(later, budgets, HORIZON, 0.125).valid_steps == 2


@pytest.mark.parametrize(("horizon", "steps"), [(1, 1), (2, 1), (3, 1), (7, 3), (16, 8)])
def test_half_of_any_horizon_is_valid_but_never_less_than_a_step(horizon: int, steps: int) -> None:
    late = replace(GOOD, reuse_index=5)
    assert judge(late, Budgets(), horizon, STEP).valid_steps == steps
    assert judge(GOOD, Budgets(), horizon, STEP).valid_steps == horizon


def test_whatever_the_ages_valid_steps_keep_to_the_limits() -> None:
    graded = 0
    for features_age, sensor_age, robot_age in product(
        (-1.1, 0.0, 0.97, 1.13, 1.58, 1.77, 1.96, 2.1),
        (-0.2, 0.0, 0.07, 0.13, 0.19, 0.28, 0.4),
        (-0.2, 0.0, 0.07, 0.13, 0.31, 0.44, 0.6),
    ):
        ages = {"features_age": features_age, "sensor_age": sensor_age, "robot_age": robot_age}
        found = verdict(WITH_ROBOT, **ages)
        if found.hold:
            continue
        graded += bool(found.reasons)
        last = (found.valid_steps - 1) * STEP
        assert 1 <= found.valid_steps <= (HORIZON // 2 if found.reasons else HORIZON)
        if found.reasons:
            assert features_age + last <= 2.0
            assert sensor_age + last <= 0.3 or sensor_age <= 0.1
            assert robot_age + last <= 0.5 or robot_age <= 0.1
    assert graded > 50


# --- what is missing


def test_without_features_there_is_no_chunk() -> None:
    assert verdict(features_age=None, reuse_index=0).hold == "no features yet"


@pytest.mark.parametrize("features_age", [None, 0.5])
def test_the_vlms_own_hold_holds_with_its_words(features_age: float | None) -> None:
    found = verdict(features_age=features_age, upstream_hold="no image of View2")
    assert found.hold == "VLM: no image of View2"


def test_with_too_few_samples_there_is_no_chunk() -> None:
    found = verdict(samples=32)
    assert found.hold == "sensor window holds 32 of 65 samples, under 33"
    assert verdict(samples=33).hold == ""
    assert verdict(samples=0, sensor_age=None).hold == (
        "sensor window holds 0 of 65 samples, under 33"
    )
    assert verdict(Budgets(min_samples=65), samples=64).hold.endswith("under 65")
    assert verdict(Budgets(min_samples=1), samples=1).hold == ""


def test_while_the_sensors_clock_is_learnt_there_is_no_chunk() -> None:
    assert verdict(sensor_clock_known=False).hold == "the sensor's clock is still being learnt"


def test_without_a_required_robot_state_there_is_no_chunk() -> None:
    assert verdict(WITH_ROBOT, robot_age=None) == Verdict("no robot state yet", [], HORIZON)


def test_while_the_robots_clock_is_learnt_there_is_no_robot_state() -> None:
    why = "the robot's clock is still being learnt"
    learning: dict[str, Any] = {"robot_age": None, "robot_clock_known": False}
    assert verdict(**learning) == Verdict("", [why], HORIZON // 2)
    assert verdict(WITH_ROBOT, **learning) == Verdict(why, [], HORIZON)


@pytest.mark.parametrize(
    ("span", "fits"), [(0.093, True), (0.104, True), (0.089, False), (0.2, False)]
)
def test_a_window_whose_span_is_not_that_of_its_samples_is_told_of(span: float, fits: bool) -> None:
    found = verdict(sensor_span=span, sensor_nominal_span=64 / 650)
    if fits:
        assert found == FINE
    else:
        assert found.reasons == [
            f"sensor window spans {span:.3f} s instead of 0.098 with 65 samples: do two sensors "
            "send, or one at another rate?"
        ]
        assert found.valid_steps == HORIZON // 2


def test_a_window_with_samples_in_each_others_place_is_told_of() -> None:
    assert verdict(sensor_crowded=5) == FINE
    (reason,) = verdict(sensor_crowded=6).reasons
    assert reason.startswith("6 of 65 samples in the sensor window share another's place")


# --- other reservations


def test_features_used_too_often_are_named() -> None:
    reason = "VLM late: features used 5 times, planned 4"
    assert verdict(reuse_index=5) == Verdict("", [reason], HORIZON // 2)


def test_a_window_that_is_not_full_is_named() -> None:
    reason = "sensor window not full: 64/65 samples"
    assert verdict(samples=64) == Verdict("", [reason], HORIZON // 2)


def test_the_features_own_reservations_come_first() -> None:
    found = verdict(upstream=["image of View1 is 0.30 s old, over 0.2 s"], reuse_index=6)
    assert found == Verdict(
        "",
        [
            "image of View1 is 0.30 s old, over 0.2 s",
            "VLM late: features used 6 times, planned 4",
        ],
        HORIZON // 2,
    )


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = verdict(
        WITH_ROBOT,
        features_age=3.0,
        reuse_index=9,
        sensor_age=0.2,
        samples=10,
        robot_age=0.7,
        upstream=["late"],
        upstream_hold="no image of View5",
    )
    assert found.hold.split("; ") == [
        "VLM: no image of View5",
        "sensor window holds 10 of 65 samples, under 33",
        "features are 3.00 s old, over the limit of 2 s",
        "robot state is 0.70 s old, over the limit of 0.5 s",
    ]
    assert found.reasons == [
        "late",
        "the newest sensor sample is 0.20 s old, over 0.1 s",
        "VLM late: features used 9 times, planned 4",
        "sensor window not full: 10/65 samples",
    ]


def test_judging_leaves_the_features_reasons_as_they_are() -> None:
    upstream = ["late"]
    verdict(upstream=upstream, samples=40)
    assert upstream == ["late"]


def test_inputs_grow_older() -> None:
    later = replace(GOOD, reuse_index=1, sensor_age=0.02, robot_age=None).after(0.25)
    assert (later.features_age, later.sensor_age, later.robot_age) == (0.75, 0.27, None)
    assert (later.reuse_index, later.samples) == (1, 65)


# --- content


@pytest.mark.parametrize(
    ("consequence", "expected"),
    [
        ("hold", Verdict("sensor: A-scans repeat", [], HORIZON)),
        ("degrade", Verdict("", ["sensor: A-scans repeat"], HORIZON // 2)),
        ("warn", FINE),
    ],
)
def test_a_dead_sensor_has_the_chosen_consequence(consequence: str, expected: Verdict) -> None:
    why = "sensor: A-scans repeat"
    assert verdict(Budgets(dead_sensor=consequence), sensor_dead=why) == expected
    assert verdict(Budgets(dead_sensor=consequence)) == FINE


def test_a_dead_sensor_holds_by_default() -> None:
    assert Budgets().dead_sensor == "hold"
