"""What was really sent and when it was really acquired, and which action chunks are wrong by that.

Everything that passes is numbered (``marks``), so that what comes out of the bridges can be traced
to what went in, whatever was done to its stamps on the way. Acquisition times are the senders' own:
they run on this host and read the clock that the judge reads.

A chunk is *wrong* if it was published although

- its newest sample was truly older at ``header.stamp`` than 0.3 s, an image of its features than
  2 s, or such an image than 1 s when the update took it; always, and the next ones except for
  what was acquired within 2 s after a step of its sender's clock;
- it says OK although one of them was over its soft limit (0.1 s, 1 s, 0.2 s), or the robot's state
  over 0.1 s;
- its mask has a 1 in a row whose sample was never handed on, or its counts are not the mask's;
- one of its pictures was damaged;
- one of its stamps is more than 5 ms off the true acquisition time;
- one of its pictures, or any sample of its window's time, is a second sender's;
- it says OK although its features are of another model than the first ones, or by an instruction
  that was not the last when their update started.

Not counted is what none but the sender can know: about items whose times, number or name were
damaged in a way that still parses, nothing; about pictures of a camera that is frozen but goes on
stamping, the stamps and the soft limits, for it takes time to see that they do not change. The
hard limits stand.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.validity import AgeBudget
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, VLFeatures

STREAMS = (*VIEWS, "robot", "sensor")
MARGIN = 0.005  # of every comparison of times: what the clocks' offsets may be off [s]
STEP_NOTICED = 2.0  # how long a stepped clock may take to be learnt again [s]
UNREADABLE = -1  # number of an item whose number is damaged
FOREIGN = -2.0  # number of what a second sender of the stream has sent

# They stand here again: a truth that took them from what it judges would follow a wrong one.
_IMAGE = AgeBudget(0.2, 1.0)  # when an update takes it
_FEATURES = AgeBudget(1.0, 2.0)  # these and the next at header.stamp
_SENSOR = AgeBudget(0.1, 0.3)
_ROBOT = AgeBudget(0.1, math.inf)  # not required: never held back for it

_EQUAL = 2e-6  # stamps closer than this are one, rounding aside [s]
_CORRECTED = 0.005  # what the window's following its clock may have moved a stamp by [s]
# An item acquired so long before a step may have been stamped after it, and an update started so
# long after an instruction may not know it [s].
_ON_THE_WAY = 0.2
_BUCKETS = 1000  # of published stamps, per second


@dataclass(frozen=True, slots=True)
class Origin:
    """When an item was acquired and when it was sent [Unix s]."""

    acquired: float
    sent: float


class StreamTruth:
    """One stream's items by number. Its parts are written by one thread each.

    ``origins`` is what was sent, ``handed_on`` what reached the bridge's side of the proxy.
    ``damaged`` items have times or numbers that cannot be believed, ``repeated`` ones were sent
    again under other times, ``unusable`` ones cannot be decoded. ``steps`` are when the sender's
    clock was stepped [Unix s].
    """

    def __init__(self) -> None:
        self.origins: dict[float, Origin] = {}
        self.handed_on: set[float] = set()
        self.damaged: set[float] = {UNREADABLE}
        self.repeated: set[float] = set()
        self.unusable: set[float] = set()
        self.steps: list[float] = []
        self._published: defaultdict[int, list[tuple[float, float, float]]] = defaultdict(list)

    def note_published(self, stamp: float, number: float, when: float) -> None:
        """The bridge has published an item under ``stamp``, at ``when`` [Unix s]."""
        self._published[math.floor(stamp * _BUCKETS)].append((stamp, number, when))

    def number_at(self, stamp: float, before: float) -> float | None:
        """Number of the item that was published under this stamp, last before ``before``.

        Failing that, of the one whose stamp is nearest, for the sensor's window follows its clock.
        """
        near = range(
            math.floor((stamp - _CORRECTED) * _BUCKETS),
            math.floor((stamp + _CORRECTED) * _BUCKETS) + 1,
        )
        found = [
            (max(abs(each - stamp), _EQUAL), -when, number)
            for bucket in near
            for each, number, when in self._published.get(bucket, ())
            if when <= before and abs(each - stamp) <= _CORRECTED
        ]
        return min(found)[2] if found else None

    def foreign_between(self, begin: float, end: float, before: float) -> int:
        """How many of a second sender's items were published under a stamp from ``begin`` to
        ``end``, before ``before`` [Unix s].
        """
        buckets = range(math.floor(begin * _BUCKETS), math.floor(end * _BUCKETS) + 1)
        return sum(
            number == FOREIGN and when <= before
            for bucket in buckets
            for _, number, when in self._published.get(bucket, ())
        )

    def in_doubt(self, origin: Origin) -> bool:
        """Whether the item may have been stamped by a clock that had just been stepped."""
        return any(
            step - _ON_THE_WAY <= origin.acquired <= step + STEP_NOTICED for step in self.steps
        )


class Truth:
    """That of all streams, by name."""

    def __init__(self) -> None:
        self._streams = {name: StreamTruth() for name in STREAMS}
        self._model: str | None = None
        self._said: list[tuple[float, str]] = []  # instructions, and when [Unix s]

    def __getitem__(self, stream: str) -> StreamTruth:
        return self._streams[stream]

    def note_features(self, features: VLFeatures) -> None:
        """The VLM has published features; the first say what it is, and what it was told before."""
        if self._model is None:
            self._said.insert(0, (0.0, features.instruction))
            self._model = features.model_id

    def note_instruction(self, text: str, when: float) -> None:
        """An instruction was said, at ``when`` [Unix s]."""
        self._said.append((when, text))

    def wrongs(
        self, chunk: ActionChunk, features: VLFeatures | None, published: float
    ) -> list[str]:
        """What is wrong with a chunk, in plain words; ``features`` are those that it names, and
        ``published`` is when it was [Unix s].
        """
        if features is None:
            return [f"update {chunk.vl_update_id} was never published"]
        return [
            *self._wrong_images(chunk, seconds(features.started), published),
            *self._wrong_samples(chunk, published),
            *self._wrong_robot(chunk),
            *self._wrong_origin(chunk, features),
        ]

    def _wrong_origin(self, chunk: ActionChunk, features: VLFeatures) -> Iterator[str]:
        if chunk.validity != ActionChunk.OK or self._model is None:
            return
        if features.model_id != self._model:
            yield f"its features are of {features.model_id}, but OK"
        heard = seconds(features.started) - _ON_THE_WAY
        last = max(n for n, (when, _) in enumerate(self._said) if when <= heard)
        known = [text for when, text in self._said[last:] if when <= seconds(features.finished)]
        if features.instruction not in known:
            yield f"its instruction is {features.instruction!r}, which is not the last, but OK"

    def _wrong_images(self, chunk: ActionChunk, taken: float, published: float) -> Iterator[str]:
        for view, stamp in zip(chunk.views, chunk.view_stamps, strict=True):
            item = _Item(view, self[view], seconds(stamp))
            item.find(published)
            yield from item.wrong_age(chunk, seconds(chunk.header.stamp), _FEATURES)
            yield from item.wrong_age(chunk, taken, _IMAGE, " when taken")
            yield from item.wrong_stamp()
            yield from item.wrong_content()

    def _wrong_samples(self, chunk: ActionChunk, published: float) -> Iterator[str]:
        newest = _Item("newest sample", self["sensor"], seconds(chunk.sensor_last_stamp))
        newest.find(published)
        yield from newest.wrong_age(chunk, seconds(chunk.header.stamp), _SENSOR)
        yield from newest.wrong_stamp()
        oldest = _Item("oldest sample", self["sensor"], seconds(chunk.sensor_first_stamp))
        oldest.find(published)
        yield from oldest.wrong_stamp()
        mask = np.frombuffer(chunk.sensor_mask, np.uint8)
        received, missing = int(mask.sum()), len(mask) - int(mask.sum())
        if (chunk.sensor_samples, chunk.sensor_missing) != (received, missing):
            yield (
                f"{chunk.sensor_samples} samples and {chunk.sensor_missing} missing, by its mask "
                f"{received} and {missing}"
            )
        first, last = seconds(chunk.sensor_first_stamp), seconds(chunk.sensor_last_stamp)
        foreign = self["sensor"].foreign_between(first, last, published)
        if foreign:
            yield f"{foreign} of a second sender's samples in the window's time"
        if newest.believable:
            yield from self._wrong_mask(mask, newest.number)

    def _wrong_mask(self, mask: np.ndarray, newest: float) -> Iterator[str]:
        """Numbers of samples are their slots. A damaged sample may stand in another's row."""
        sensor = self["sensor"]
        slots = newest - (len(mask) - 1 - np.flatnonzero(mask))
        never = [slot for slot in slots.tolist() if slot not in sensor.handed_on]
        span = range(int(newest) - 3 * len(mask), int(newest) + 3 * len(mask))
        damaged = sum(slot in sensor.damaged for slot in span)
        if len(never) > damaged:
            yield f"mask has {len(never)} samples that were never handed on"

    def _wrong_robot(self, chunk: ActionChunk) -> Iterator[str]:
        state = chunk.robot_state
        stamp = seconds(state.header.stamp)
        if stamp:
            item = _Item("robot state", self["robot"], stamp, state.force)
            yield from item.wrong_age(chunk, seconds(chunk.header.stamp), _ROBOT)
            yield from item.wrong_stamp()


class _Item:
    """An input of a chunk: the stamp that it claims, and its number once it is known."""

    def __init__(
        self, name: str, stream: StreamTruth, stamp: float, number: float | None = None
    ) -> None:
        self._name, self._stream, self._stamp = name, stream, stamp
        self._number = number

    def find(self, before: float) -> None:
        """Find the number by the stamp."""
        self._number = self._stream.number_at(self._stamp, before)

    @property
    def number(self) -> float:
        """That of an item which is known."""
        assert self._number is not None
        return self._number

    @property
    def believable(self) -> bool:
        """Whether its number and times are known and none are in doubt."""
        origin = self._origin
        return origin is not None and not self._damaged and not self._stream.in_doubt(origin)

    @property
    def _origin(self) -> Origin | None:
        return None if self._number is None else self._stream.origins.get(self._number)

    @property
    def _damaged(self) -> bool:
        return self._number in self._stream.damaged

    def wrong_age(
        self, chunk: ActionChunk, at: float, budget: AgeBudget, when: str = ""
    ) -> Iterator[str]:
        """What is wrong with using it at ``at`` [Unix s]."""
        origin = self._origin
        if origin is None or self._damaged:
            return
        age = at - origin.acquired
        said_ok = chunk.validity == ActionChunk.OK
        if age > budget.hard + MARGIN:
            yield f"{self._name} truly {age:.3f} s old{when}, over {budget.hard:g} s"
        elif age > budget.soft + MARGIN and said_ok and self._soft_counts:
            yield f"{self._name} truly {age:.3f} s old{when}, over {budget.soft:g} s, but OK"

    def wrong_stamp(self) -> Iterator[str]:
        """What is wrong with the stamp that it claims."""
        if self._damaged:
            return
        origin = self._origin
        if self._number == FOREIGN:
            yield f"{self._name} is a second sender's"
        elif origin is None:
            yield f"{self._name} has a stamp of nothing that was sent"
        elif self._soft_counts and abs(self._stamp - origin.acquired) > MARGIN:
            error = self._stamp - origin.acquired
            yield f"{self._name} is stamped {error * 1e3:+.1f} ms off its acquisition"

    def wrong_content(self) -> Iterator[str]:
        """What is wrong with using it at all."""
        if self._number in self._stream.unusable:
            yield f"{self._name} is a damaged picture"

    @property
    def _soft_counts(self) -> bool:
        return self.believable and self._number not in self._stream.repeated
