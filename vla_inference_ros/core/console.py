"""The console lines, in the form that people and scripts around the rig read, and their pace."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vla_inference_ros.core.printable import told

VERBOSITIES = ("quiet", "normal", "debug")  # what a node says: see nodes/verbosity.py
_FIRST_ACTIONS = 3


def vl_update_line(update_id: int, duration: float) -> str:
    """One VLM update; ``duration`` [s]."""
    return f"🔄 [VL Update #{update_id}] Completed in {duration * 1000:.0f}ms"


@dataclass(frozen=True, slots=True)
class ActionLine:
    """One action chunk: step 0's ``action``, ``duration`` [s], and what it was computed from.

    ``left_out`` is how many chunks before it had no line.
    """

    chunk_id: int
    reuse_index: int
    reuse_limit: int
    action: Sequence[float]
    duration: float
    samples: int
    window: int
    reasons: Sequence[str] = ()
    left_out: int = 0

    def __str__(self) -> str:
        first = ", ".join(f"{value:.3f}" for value in self.action[:_FIRST_ACTIONS])
        more = ", ..." if len(self.action) > _FIRST_ACTIONS else ""
        line = (
            f"[ACTION #{self.chunk_id}] VL_reuse={self.reuse_index}/{self.reuse_limit} | "
            f"Actions[0]: [{first}{more}] | Time: {self.duration * 1000:.1f}ms | "
            f"Sensor: {self.samples}/{self.window}"
        )
        line += f" | Not shown: {self.left_out}" if self.left_out else ""
        return f"{line} | DEGRADED: {'; '.join(told(self.reasons))}" if self.reasons else line


class ActionPace:
    """Which action chunks have a line, if not all are to: one in ``period`` [s], and each whose
    verdict is another than that of the last line.
    """

    def __init__(self, period: float) -> None:
        """``period`` 0 is for all."""
        self._period = period
        self._due = -math.inf
        self._verdict: int | None = None
        self._left_out = 0

    def see(self, now: float, verdict: int) -> int | None:
        """For a chunk at ``now`` [monotonic s]: how many before it had no line; None if it has
        none either.
        """
        if now < self._due and verdict == self._verdict:
            self._left_out += 1
            return None
        # From when it was due, so that lines come as often as asked for although chunks come when
        # they come; but a line that is early, by its verdict, or very late begins a new period.
        late = now - self._due
        self._due = (self._due if 0 <= late < self._period / 2 else now) + self._period
        self._verdict = verdict
        left_out, self._left_out = self._left_out, 0
        return left_out


@dataclass(frozen=True, slots=True)
class WaitLine:
    """What the action expert waits for."""

    features: bool
    views_ready: int
    views: int
    samples: int
    window: int
    min_samples: int

    def __str__(self) -> str:
        images = self.views > 0 and self.views_ready == self.views
        return (
            f"[WAIT] VL Features: {self.features} | "
            f"Images: {images} ({self.views_ready}/{self.views}) | "
            f"Sensor: {self.samples >= self.min_samples} ({self.samples}/{self.window})"
        )


@dataclass(frozen=True, slots=True)
class StatusBlock:
    """The status every two seconds. Times [s]; ``joint_1`` [deg] and ``position_x`` [mm] as the
    rig's users read them, None before the first robot packet; ``clock`` is HH:MM:SS.
    """

    clock: str
    vl_updates: int
    vl_mean: float
    actions: int
    action_mean: float
    images: Mapping[str, int]
    samples: int
    window: int
    joint_1: float | None
    position_x: float | None

    def __str__(self) -> str:
        images = ", ".join(f"{view}:{count}" for view, count in self.images.items()) or "none"
        robot = (
            "no packet yet"
            if self.joint_1 is None or self.position_x is None
            else f"J1={self.joint_1:.2f}°, Px={self.position_x:.2f}mm"
        )
        return "\n".join(
            (
                f"--- Status ({self.clock}) ---",
                f"VL Updates: {self.vl_updates} | VL avg: {self.vl_mean * 1000:.0f}ms",
                f"Actions: {self.actions} | Action avg: {self.action_mean * 1000:.1f}ms",
                f"Images recv: {images}",
                f"Sensor buffer: {self.samples}/{self.window}",
                f"Robot: {robot}",
            )
        )
