"""What the page shows: the newest of everything, and a bounded past of what is plotted or logged.

One thread posts, another reads. Each reader has its place in the past, so that one who is slow gets
the newest when his turn comes, and nothing piles up for him. All times are ROS time [Unix s], all
values SI. Knows nothing of ROS or HTTP.
"""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any

SPAN = 60.0  # of the plots [s]
_CLOSEST = 0.04  # chunks are so far apart at least where they are plotted [s]
_MOST_POINTS = math.ceil(SPAN / _CLOSEST)
_MOST_LINES = 200  # of the log: of warnings and worse, and of all else
_WARNING = 30  # the level of one
_LONGEST_LINE = 600  # characters of it


@dataclass(frozen=True, slots=True)
class Chunk:
    """The newest action chunk; ``steps`` has a row of values for each predicted step."""

    chunk_id: int
    stamp: float
    step_dt: float
    names: list[str]
    steps: list[list[float]]
    valid_steps: int
    ok: bool
    reuse_index: int
    reuse_limit: int
    instruction: str
    model_id: str
    features_model_id: str


@dataclass(frozen=True, slots=True)
class Force:
    """What the sensor felt since the one before: least, most and newest [N]."""

    stamp: float
    low: float
    high: float
    last: float


@dataclass(frozen=True, slots=True)
class LogLine:
    """``level`` is rcl_interfaces/Log's: 10 debug, 20 info, 30 warning, 40 error, 50 fatal."""

    stamp: float
    level: int
    name: str
    text: str


class Board:
    """See the module. ``place`` is what a reader got with the last news; 0 for one who is new."""

    def __init__(self, status_timeout: float) -> None:
        """A status older than ``status_timeout`` [s] is shown as none."""
        self._lock = threading.Lock()
        self._timeout = status_timeout
        self._sequence = self._cleared = 1
        self._status: Mapping[str, Any] | None = None
        self._status_came = time.monotonic()
        self._silence = ""
        self._inputs: Mapping[str, Any] = {}
        self._chunk: Chunk | None = None
        self._steps = _Past(_MOST_POINTS)
        self._force = _Past(_MOST_POINTS)
        self._warnings, self._lines = _Past(_MOST_LINES), _Past(_MOST_LINES)
        self._pictures: dict[str, tuple[int, dict[str, Any]]] = {}

    # --- what is posted

    def post_status(self, values: Mapping[str, Any]) -> None:
        """A status has come: its fields."""
        with self._lock:
            self._status, self._status_came, self._silence = values, time.monotonic(), ""

    def status_is_late(self) -> bool:
        """Whether no status has come for longer than it should."""
        return time.monotonic() - self._status_came > self._timeout

    def explain_silence(self, why: str) -> None:
        """Why no status comes."""
        with self._lock:
            self._silence = why

    def post_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Of each stream by its name: ``rate`` [1/s] or None, ``problems`` by kind."""
        with self._lock:
            self._inputs = inputs

    def post_chunk(self, chunk: Chunk) -> None:
        """A chunk has come. One of other dimensions, or from before, starts the plot anew."""
        with self._lock:
            before, self._chunk = self._chunk, chunk
            if before and (before.names != chunk.names or chunk.stamp < before.stamp):
                self._clear(self._steps)
            if chunk.stamp - self._steps.newest_stamp >= _CLOSEST:
                point = {"stamp": chunk.stamp, "values": chunk.steps[0], "ok": chunk.ok}
                self._steps.add(self._next(), chunk.stamp, point)

    def post_force(self, force: Force) -> None:
        """The force since the last post."""
        with self._lock:
            if force.stamp < self._force.newest_stamp:
                self._clear(self._force)
            self._force.add(self._next(), force.stamp, asdict(force))

    def post_line(self, line: LogLine) -> None:
        """A line of the log."""
        with self._lock:
            text = line.text
            if len(text) > _LONGEST_LINE:
                text = f"{text[:_LONGEST_LINE]} … ({len(text)} characters)"
            # Apart, so that warnings stay when much else is said.
            past = self._warnings if line.level >= _WARNING else self._lines
            past.add(self._next(), line.stamp, {**asdict(line), "text": text})

    def post_picture(self, view: str, stamp: float, jpeg: bytes) -> None:
        """A view's small picture."""
        self._post_view(view, {"stamp": stamp, "jpeg": base64.b64encode(jpeg).decode()})

    def post_bad_picture(self, view: str, stamp: float, why: str) -> None:
        """A view's picture that cannot be shown."""
        self._post_view(view, {"stamp": stamp, "error": why})

    def forget_pictures(self) -> None:
        """Nobody has been watching: what was seen last says nothing now."""
        with self._lock:
            self._pictures.clear()
            self._clear(self._force)

    # --- what is read

    def news(self, now: float, place: int) -> tuple[bytes, int]:
        """What a reader at ``place`` does not know yet at ``now``, as JSON, and his new place.

        ``fresh`` tells him to forget what he had: he is new, or what he has was set back.
        """
        with self._lock:
            fresh = place < self._cleared
            place = 0 if fresh else place
            content = {
                "now": now,
                "fresh": fresh,
                "span": SPAN,
                "status": {
                    "values": self._status,
                    "age": time.monotonic() - self._status_came,
                    "timeout": self._timeout,
                    "silence": self._silence,
                },
                "inputs": self._inputs,
                "chunk": asdict(self._chunk) if self._chunk else None,
                "steps": self._steps.after(place),
                "force": self._force.after(place),
                "log": self._log_after(place),
                "pictures": {
                    view: picture for view, (at, picture) in self._pictures.items() if at > place
                },
            }
            place = self._sequence
        text = json.dumps(_finite(content), allow_nan=False, separators=(",", ":"))
        return text.encode(), place

    def _log_after(self, place: int) -> list[dict[str, Any]]:
        both = [*self._warnings.numbered_after(place), *self._lines.numbered_after(place)]
        return [line for _, line in sorted(both, key=itemgetter(0))]

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _clear(self, past: _Past) -> None:
        past.clear()
        self._cleared = self._next()

    def _post_view(self, view: str, picture: dict[str, Any]) -> None:
        with self._lock:
            self._pictures[view] = (self._next(), picture)


class _Past:
    """The newest items of a kind, oldest first, each with its number in the sequence of all."""

    def __init__(self, most: int) -> None:
        self._items: deque[tuple[int, float, dict[str, Any]]] = deque(maxlen=most)

    @property
    def newest_stamp(self) -> float:
        """-inf if there is none."""
        return self._items[-1][1] if self._items else -math.inf

    def add(self, number: int, stamp: float, item: dict[str, Any]) -> None:
        self._items.append((number, stamp, item))

    def after(self, number: int) -> list[dict[str, Any]]:
        """The items with a higher number."""
        return [item for _, item in self.numbered_after(number)]

    def numbered_after(self, number: int) -> list[tuple[int, dict[str, Any]]]:
        """Likewise, each with its number."""
        found = []
        for at, _, item in reversed(self._items):
            if at <= number:
                break
            found.append((at, item))
        return found[::-1]

    def clear(self) -> None:
        self._items.clear()


def _finite(value: Any) -> Any:
    """The value without what JSON has no word for: NaN and infinity become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(each) for each in value]
    return value
