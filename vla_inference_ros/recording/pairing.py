"""Finds for each picture what its camera's host said of it: two messages, on two topics."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.msg import FrameInfo

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
        # When the newest picture of each frame was published [Unix ns]; who came last stands last.
        self._newest: dict[str, int] = {}

    def add_info(self, info: FrameInfo, published: int) -> None:
        """What is said of a picture, which may have come already."""
        key = _key(info.header.frame_id, info.header.stamp)
        self._infos.setdefault(key, deque()).append((info, published))

    def add_picture(self, picture: Picture) -> None:
        """A picture; pictures come in the order in which they were published, or nearly so."""
        self._waiting.append(picture)
        frame = picture.image.header.frame_id
        self._newest.pop(frame, None)
        self._newest[frame] = picture.published

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

    def never_came(self, until: int) -> Counter[str]:
        """Of how many pictures only the info has come, by frame: of those whose info was published
        before ``until`` [Unix ns], and what was said of them is forgotten. None of a frame of which
        a later picture came: what is missing before that, its number tells.
        """
        counts: Counter[str] = Counter()
        while self._infos:
            key, infos = next(iter(self._infos.items()))
            if infos[0][1] >= until:
                break
            del self._infos[key]
            newest = self._newest.get(key[0], 0)
            counts[key[0]] += sum(published > newest for _, published in infos)
        while self._newest and next(iter(self._newest.values())) < until:
            del self._newest[next(iter(self._newest))]  # all infos that are left are later
        return +counts

    def _info_of(self, image: CompressedImage) -> FrameInfo | None:
        key = _key(image.header.frame_id, image.header.stamp)
        infos = self._infos.get(key)
        if infos is None:
            return None
        info, _ = infos.popleft()
        if not infos:
            del self._infos[key]
        return info


def _key(frame_id: str, stamp: Time) -> _Key:
    return frame_id, stamp.sec, stamp.nanosec
