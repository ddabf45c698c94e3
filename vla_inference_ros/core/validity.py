"""Judges what an action chunk would be computed from: may it be, and with which reservations.

Owns the age budgets and the grading. Ages are from acquisition to the instant that step 0 is for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

CONSEQUENCES = ("hold", "degrade", "warn")  # of an input whose content is dead
# How far the span of a window may be from what its samples make, and how many of them may share the
# place of another: a sensor's rate and the evenness of its stamps. Two sensors exceed both.
_SPAN_TOLERANCE, _MOST_CROWDED = 0.07, 0.08


@dataclass(frozen=True, slots=True)
class AgeBudget:
    """How old an input may be [s]: over ``soft`` with reservations, over ``hard`` not at all."""

    soft: float
    hard: float

    def __post_init__(self) -> None:
        if not 0 < self.soft <= self.hard:
            raise ValueError(
                f"soft limit {self.soft} s and hard limit {self.hard} s: not 0 < soft <= hard"
            )

    def excess(self, what: str, age: float) -> tuple[str, bool]:
        """(what is wrong with an input of this age in plain words or '', whether it is unusable).

        An input from further in the future than the soft limit is as unusable as one that is too
        old: two clocks disagree by that much. So is one whose age is NaN.
        """
        if math.isnan(age):
            return f"{what} of unknown age", True
        if age > self.hard:
            return f"{what} {age:.2f} s old, over the limit of {self.hard:g} s", True
        if age < -self.soft:
            return f"{what} {-age:.2f} s from the future: do the clocks agree?", True
        if age > self.soft:
            return f"{what} {age:.2f} s old, over {self.soft:g} s", False
        return "", False

    def steps_left(self, age: float, step: float) -> int:
        """How many steps of ``step`` [s], from now on, begin before the hard limit."""
        return int((self.hard - age) / step) + 1


@dataclass(frozen=True, slots=True)
class Budgets:
    """The age budgets of an action chunk's inputs, whether the robot's state is one, and what
    follows when the sensor is dead: one of ``CONSEQUENCES``.
    """

    features: AgeBudget = field(default_factory=lambda: AgeBudget(1.0, 2.0))
    sensor: AgeBudget = field(default_factory=lambda: AgeBudget(0.1, 0.3))
    robot: AgeBudget = field(default_factory=lambda: AgeBudget(0.1, 0.5))
    robot_required: bool = False
    min_samples: int = 33
    dead_sensor: str = "hold"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a chunk would be computed from.

    Ages [s]; None where there is no such input yet. ``samples`` of ``window`` are in the sensor
    window; ``sensor_clock_known`` tells whether its stamps can be believed, ``robot_clock_known``
    whether those of the robot's present states can, and ``sensor_dead`` why the window's content
    cannot, if so. The window spans ``sensor_span`` [s], and should by its samples span
    ``sensor_nominal_span``; ``sensor_crowded`` of its samples share the place of another.
    ``upstream`` are the features' own reservations, ``upstream_hold`` why the VLM gives no features
    now, ``conflicts`` why it cannot be told whose the inputs are.
    """

    features_age: float | None
    reuse_index: int
    reuse_limit: int
    sensor_age: float | None
    sensor_clock_known: bool
    samples: int
    window: int
    robot_age: float | None
    sensor_dead: str = ""
    robot_clock_known: bool = True
    sensor_span: float = 0.0
    sensor_nominal_span: float = 0.0
    sensor_crowded: int = 0
    upstream: Sequence[str] = ()
    upstream_hold: str = ""
    conflicts: Sequence[str] = ()

    def after(self, seconds: float) -> Inputs:
        """The same inputs so much later."""

        def older(age: float | None) -> float | None:
            return None if age is None else age + seconds

        return replace(
            self,
            features_age=older(self.features_age),
            sensor_age=older(self.sensor_age),
            robot_age=older(self.robot_age),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """``hold`` says why there must be no chunk, empty if there may be one; ``reasons`` are the
    reservations about it, and ``valid_steps`` how many of its steps may be executed.
    """

    hold: str
    reasons: list[str]
    valid_steps: int


def judge(inputs: Inputs, budgets: Budgets, horizon: int, step: float) -> Verdict:
    """The verdict on a chunk of ``horizon`` steps of ``step`` [s].

    With reservations at most half of the steps are valid, and of these only those that begin
    before one of the inputs reaches its hard limit; the first always is.
    """
    holds, reasons = _missing(inputs, budgets), list(inputs.upstream)
    steps = horizon
    for what, age, budget, required in (
        ("features are", inputs.features_age, budgets.features, True),
        ("the newest sensor sample is", inputs.sensor_age, budgets.sensor, True),
        ("robot state is", inputs.robot_age, budgets.robot, budgets.robot_required),
    ):
        if age is None:
            continue
        complaint, unusable = budget.excess(what, age)
        if complaint and unusable and required:
            holds.append(complaint)
        elif complaint:
            reasons.append(complaint)
            steps = min(steps, budget.steps_left(age, step)) if required else steps
    if inputs.robot_age is None and not budgets.robot_required:
        reasons.append(_no_robot_state(inputs))
    if inputs.reuse_index > inputs.reuse_limit:
        reasons.append(
            f"VLM late: features used {inputs.reuse_index} times, planned {inputs.reuse_limit}"
        )
    if inputs.samples < inputs.window:
        reasons.append(f"sensor window not full: {inputs.samples}/{inputs.window} samples")
    if inputs.sensor_dead and budgets.dead_sensor == "degrade":
        reasons.append(inputs.sensor_dead)
    reasons += _unfit_window(inputs)
    if reasons:
        steps = max(1, min(steps, horizon // 2))
    return Verdict("; ".join(holds), reasons, steps)


def _missing(inputs: Inputs, budgets: Budgets) -> list[str]:
    """What is not there, or not fit to be judged by its age."""
    holds = list(inputs.conflicts)
    if inputs.upstream_hold:
        holds.append(f"VLM: {inputs.upstream_hold}")
    elif inputs.features_age is None:
        holds.append("no features yet")
    if inputs.samples < budgets.min_samples:
        holds.append(
            f"sensor window holds {inputs.samples} of {inputs.window} samples, under "
            f"{budgets.min_samples}"
        )
    elif not inputs.sensor_clock_known:
        holds.append("the sensor's clock is still being learnt")
    if inputs.sensor_dead and budgets.dead_sensor == "hold":
        holds.append(inputs.sensor_dead)
    if inputs.robot_age is None and budgets.robot_required:
        holds.append(_no_robot_state(inputs))
    return holds


def _no_robot_state(inputs: Inputs) -> str:
    if inputs.robot_clock_known:
        return "no robot state yet"
    return "the robot's clock is still being learnt"


def _unfit_window(inputs: Inputs) -> list[str]:
    """What is odd about when the window's samples were taken."""
    span, nominal = inputs.sensor_span, inputs.sensor_nominal_span
    if abs(span - nominal) > _SPAN_TOLERANCE * nominal:
        return [
            f"sensor window spans {span:.3f} s instead of {nominal:.3f} with {inputs.samples} "
            "samples: do two sensors send, or one at another rate?"
        ]
    if inputs.sensor_crowded > _MOST_CROWDED * inputs.samples:
        return [
            f"{inputs.sensor_crowded} of {inputs.samples} samples in the sensor window share "
            "another's place: do two sensors send, or are their times uneven?"
        ]
    return []
