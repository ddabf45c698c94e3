"""The health limits, and what they say of streams, stages and the whole inference."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

VL_UPDATE_PROBLEM = 0.5  # [s]; normal is 0.375 to 0.400
EXPERT_SLOW, EXPERT_PROBLEM = 0.05, 0.1  # [s]; normal is 0.020 to 0.030
SENSOR_FILL_WARNING = 30  # samples of 65; normal is 60 to 65
SILENT_AFTER = 3.0  # a node that has not reported for so long is taken for dead [s]
STALLED_AFTER = 1.0  # a stream whose newest item is older has stopped [s]
HOLD_AFTER = 0.5  # without a chunk for so long, or for two periods, the inference holds [s]


class Level(enum.IntEnum):
    """Diagnostic levels; the values are diagnostic_msgs/DiagnosticStatus's."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


class State(enum.IntEnum):
    """State of the whole inference; the values are InferenceStatus's."""

    WAIT = 0
    OK = 1
    DEGRADED = 2
    HOLD = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A level and why, in plain words."""

    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class Condition:
    """Of the whole inference: its state and why it is not OK, and what is wrong with which stream
    right now, as in "View1: nothing comes": also while it is OK, as long as no chunk suffers.
    """

    state: State
    reason: str = ""
    troubles: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The verdict, in plain words."""
        why = "; ".join(filter(None, (self.reason, *self.troubles)))
        if not why:
            return self.state.name
        return f"{self.state.name}{', but ' if self.state is State.OK else ': '}{why}"


def vlm_health(duration: float) -> Finding:
    """Of the mean duration of VLM updates [s]."""
    if duration > VL_UPDATE_PROBLEM:
        return Finding(
            Level.ERROR, f"updates take {duration * 1e3:.0f} ms, over {VL_UPDATE_PROBLEM * 1e3:.0f}"
        )
    return Finding(Level.OK, f"updates take {duration * 1e3:.0f} ms")


def expert_health(duration: float, fill: int) -> Finding:
    """Of the mean duration of an expert step [s] and the samples in its window."""
    message = f"steps take {duration * 1e3:.1f} ms"
    if duration > EXPERT_PROBLEM:
        return Finding(Level.ERROR, f"{message}, over {EXPERT_PROBLEM * 1e3:.0f}")
    if duration > EXPERT_SLOW:
        return Finding(Level.WARN, f"{message}, over {EXPERT_SLOW * 1e3:.0f}")
    if fill < SENSOR_FILL_WARNING:
        return Finding(Level.WARN, f"sensor window holds {fill}, under {SENSOR_FILL_WARNING}")
    return Finding(Level.OK, message)


def stream_health(accepted: int, age: float, troubles: Sequence[str]) -> Finding:
    """Of what has come, the newest item's age [s], and what is wrong right now."""
    if accepted == 0:
        return Finding(Level.WARN, "nothing received yet: is the sender running?")
    if age > STALLED_AFTER:
        return Finding(Level.ERROR, f"nothing new for {age:.1f} s")
    if troubles:
        return Finding(Level.WARN, ", ".join(troubles))
    return Finding(Level.OK, "receiving")


def inference_state(
    *,
    since_chunk: float | None,
    period: float,
    reasons: Sequence[str],
    waiting_for: Sequence[str],
    hold: str = "",
    conflict: str = "",
) -> tuple[State, str]:
    """State and reason, from the time since the newest chunk [s] (None: none yet), the chunks'
    nominal period [s], the newest one's reservations, what the stages are waiting for, why the
    action expert holds chunks back, if it does, and what is there twice, if anything.
    """
    lacks = f"waiting for {', '.join(waiting_for)}" if waiting_for else ""
    if conflict:
        return State.HOLD, conflict
    if since_chunk is None:
        return State.WAIT, lacks or hold or "waiting for the first action chunk"
    if hold:
        return State.HOLD, hold
    if since_chunk > max(HOLD_AFTER, 2 * period):
        return State.HOLD, f"no action chunk for {since_chunk:.1f} s" + (lacks and f": {lacks}")
    if reasons:
        return State.DEGRADED, "; ".join(reasons)
    return State.OK, ""
