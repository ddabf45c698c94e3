"""Watches the VLM's pictures while it computes: are they alive, whole, and each view's own?

Owns when they are looked at and who is told. Does not own the judgement (``core.liveness``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from vla_inference_ros.core.liveness import LOOK_PERIOD, Look, Twins, ViewLife
from vla_inference_ros.core.troubles import TWIN
from vla_inference_ros.model.interface import FrameError
from vla_inference_ros.model.picture import brightness
from vla_inference_ros.nodes.view_input import ViewInput


class PictureWatch:
    """Looks at the newest picture of each view several times a second, in a thread of its own: an
    update takes too few of them, and too late, to tell a dead camera within a second.
    """

    def __init__(self, views: Sequence[ViewInput], on_change: Callable[[], None]) -> None:
        """``on_change`` is called, in this thread, when a view has died or come to life."""
        self._views, self._on_change = views, on_change
        self._told: list[tuple[str, ...]] = [()] * len(views)

    def run(self, stopping: threading.Event) -> None:
        """Look until ``stopping`` is set."""
        lives = {view.name: ViewLife() for view in self._views}
        troubles: dict[str, list[str]] = {view.name: [] for view in self._views}
        twins = Twins()
        while not stopping.wait(LOOK_PERIOD):
            for view in self._views:
                look = _look_at(view)
                if look is not None:
                    troubles[view.name] = lives[view.name].add(look)
                    view.size = lives[view.name].size
            looks = {name: life.newest for name, life in lives.items() if life.newest is not None}
            alike = {name for pair in twins.add(looks) for name in pair}
            self._tell({n: [*t, TWIN] if n in alike else t for n, t in troubles.items()})
        for view in self._views:
            view.note_dead([])  # nobody looks any more

    def _tell(self, dead: dict[str, list[str]]) -> None:
        for view in self._views:
            view.note_dead(dead[view.name])
        before, self._told = self._told, [view.dead for view in self._views]
        if before != self._told:
            self._on_change()


def _look_at(view: ViewInput) -> Look | None:
    """The view's newest picture; None if it has been looked at already, or is damaged."""
    stamp: float | None = None
    try:
        picture = view.unseen()
        if picture is None:
            return None
        stamp = picture.stamp
        decoded = brightness(picture)
    except FrameError as error:
        view.drop(error, stamp)
        return None
    view.note_odd(decoded.oddities)
    return Look.of(picture.stamp, decoded.pixels, decoded.size)
