"""The console lines, in the form that people and scripts around the rig read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_FIRST_ACTIONS = 3


def vl_update_line(update_id: int, duration: float) -> str:
    """One VLM update; ``duration`` [s]."""
    return f"🔄 [VL Update #{update_id}] Completed in {duration * 1000:.0f}ms"


@dataclass(frozen=True, slots=True)
class ActionLine:
    """One action chunk: step 0's ``action``, ``duration`` [s], and what it was computed from."""

    chunk_id: int
    reuse_index: int
    reuse_limit: int
    action: Sequence[float]
    duration: float
    samples: int
    window: int
    reasons: Sequence[str] = ()

    def __str__(self) -> str:
        first = ", ".join(f"{value:.3f}" for value in self.action[:_FIRST_ACTIONS])
        more = ", ..." if len(self.action) > _FIRST_ACTIONS else ""
        line = (
            f"[ACTION #{self.chunk_id}] VL_reuse={self.reuse_index}/{self.reuse_limit} | "
            f"Actions[0]: [{first}{more}] | Time: {self.duration * 1000:.1f}ms | "
            f"Sensor: {self.samples}/{self.window}"
        )
        return f"{line} | DEGRADED: {'; '.join(self.reasons)}" if self.reasons else line


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
