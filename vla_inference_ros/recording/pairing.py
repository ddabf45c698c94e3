"""Finds for each picture what its camera's host said of it: two messages, on two topics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.msg import FrameInfo

_KEPT = 30_000_000_000  # how long what is said of a picture waits for it; by then it was lost [ns]

_Key: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image of a view that was ``published`` then [Unix ns]; ``info`` is None if nothing more
    is known of it.
    """

    view: str
    image: CompressedImage
    published: int
    info: FrameInfo | None = None


class Pairing:
    """Takes both in any order. A camera bridge publishes the info just before its picture."""

    def __init__(self) -> None:
        self._waiting: deque[Picture] = deque()
        self._infos: dict[_Key, deque[tuple[FrameInfo, int]]] = {}

    def add_info(self, info: FrameInfo, published: int) -> None:
        """What is said of a picture, which may have come already."""
        key = _key(info.header.frame_id, info.header.stamp)
        self._infos.setdefault(key, deque()).append((info, published))
        self._forget(published - _KEPT)

    def add_picture(self, picture: Picture) -> None:
        """A picture; pictures come in the order in which they were published, or nearly so."""
        self._waiting.append(picture)

    def take(self, until: int) -> Iterator[Picture]:
        """The pictures with their infos, in their order. One that has none is waited for by those
        behind it, unless it was published before ``until`` [Unix ns].
        """
        while self._waiting:
            picture = self._waiting[0]
            info = self._info_of(picture.image)
            if info is None and picture.published >= until:
                return
            self._waiting.popleft()
            yield Picture(picture.view, picture.image, picture.published, info)

    def _info_of(self, image: CompressedImage) -> FrameInfo | None:
        key = _key(image.header.frame_id, image.header.stamp)
        infos = self._infos.get(key)
        if infos is None:
            return None
        info, _ = infos.popleft()
        if not infos:
            del self._infos[key]
        return info

    def _forget(self, limit: int) -> None:
        """Drop what is known of pictures that never came."""
        while self._infos:
            oldest = next(iter(self._infos))
            if self._infos[oldest][0][1] >= limit:
                return
            del self._infos[oldest]


def _key(frame_id: str, stamp: Time) -> _Key:
    return frame_id, stamp.sec, stamp.nanosec
