"""What was known at the time of each action chunk: what a policy could have been given then."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vla_inference_ros.core.wire import CameraFrame, RobotPacket
from vla_inference_ros.export.chunks import Chunk
from vla_inference_ros.export.walk import Item
from vla_inference_ros.recording.recording import Features
from vla_inference_ros.recording.traffic import Received

_KEPT = 4  # pictures of a view: one takes the place of a damaged one


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """An action chunk, and the newest of everything that had been received by its time: a picture
    of each view, a robot state, a force [N]. ``instruction`` is what it was computed for.
    """

    chunk: Chunk
    pictures: dict[str, Received[CameraFrame]]
    state: Received[RobotPacket]
    force: float
    instruction: str


class Moments:
    """All moments of a walk that are complete; ``left_out`` counts the others, by the reason."""

    def __init__(
        self,
        items: Iterable[Item],
        views: Sequence[str],
        instruction: str,
        sizes: Mapping[str, tuple[int, int]] | None = None,
        is_whole: Callable[[Received[CameraFrame]], bool] = lambda _: True,
    ) -> None:
        """``instruction`` is for chunks that do not say theirs, as in older run folders. ``sizes``
        are the (width, height) that each view's pictures must have; by default the first one's. A
        picture that ``is_whole`` denies counts as not received; it is asked of those alone that a
        moment would have.
        """
        self.left_out: Counter[str] = Counter()
        self.without_instruction = 0
        self._items, self._views = items, views
        self._instruction = instruction
        self._pictures: dict[str, deque[Received[CameraFrame]]] = {}
        self._whole: dict[str, Received[CameraFrame]] = {}  # that the last moment had
        self._is_whole = is_whole
        self._sizes = dict(sizes or {})
        self._state: Received[RobotPacket] | None = None
        self._force: float | None = None
        self._latest = -math.inf

    def __iter__(self) -> Iterator[Moment]:
        for item in self._items:
            if isinstance(item, Chunk):
                moment = self._moment(item)
                if moment is not None:
                    yield moment
            elif isinstance(item, Features):
                continue
            elif isinstance(item.packet, CameraFrame):
                self._pictures.setdefault(item.view, deque(maxlen=_KEPT)).append(item)
            elif isinstance(item.packet, RobotPacket):
                self._state = item
            else:
                self._force = float(item.packet.force[-1])

    def _moment(self, chunk: Chunk) -> Moment | None:
        if chunk.time <= self._latest:  # what was received by then is gone
            self.left_out["not later than one before: was this host's clock set?"] += 1
            return None
        self._latest = chunk.time
        missing = [view for view in self._views if view not in self._pictures]
        if missing:
            self.left_out[f"before the first picture of {', '.join(missing)}"] += 1
            return None
        if self._state is None:
            self.left_out["before the first robot state"] += 1
            return None
        if self._force is None:
            self.left_out["before the first sensor sample"] += 1
            return None
        pictures: dict[str, Received[CameraFrame]] = {}
        for view in self._views:
            picture = self._newest_whole(view)
            if picture is None:
                self.left_out[f"before the first whole picture of {view}"] += 1
                return None
            size = (picture.packet.width, picture.packet.height)
            if self._sizes.setdefault(view, size) != size:
                self.left_out[f"a picture of {view} is not of the others' size"] += 1
                return None
            pictures[view] = picture
        instruction = chunk.result.get("instruction")
        if not isinstance(instruction, str):
            self.without_instruction += 1
            instruction = self._instruction
        return Moment(chunk, pictures, self._state, self._force, instruction)

    def _newest_whole(self, view: str) -> Received[CameraFrame] | None:
        kept = self._pictures[view]
        while kept:
            picture = kept[-1]
            if picture is self._whole.get(view) or self._is_whole(picture):
                self._whole[view] = picture
                return picture
            kept.pop()
        return None
