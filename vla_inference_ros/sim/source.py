"""Where a simulated camera's pictures come from: the scene, a folder, a video file or a camera.

Owns opening and reading them. Does not own the scene's drawing, the rate or the sending.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vla_inference_ros.core.jpeg import JpegError, jpeg_size
from vla_inference_ros.sim.jpeg_content import commented, flickered
from vla_inference_ros.sim.needle import PERIOD
from vla_inference_ros.sim.scene import PictureFormat, Scene

_FLICKER_RATE = 120  # 1/s; of the cameras' usual rates a multiple
_JPEG, _PNG = (".jpg", ".jpeg"), (".png",)
_ACCEPTED = (
    "accepted are '' (the drawn scene), a folder of .jpg/.jpeg/.png pictures, a video file, "
    "or a camera such as /dev/video0 or 0"
)


class SourceError(ValueError):
    """A source of pictures that cannot be opened, or that stopped delivering."""


class Source(Protocol):
    """One camera's pictures."""

    def jpeg(self, t: float) -> bytes:
        """The JPEG to send for Unix time ``t`` [s]; :class:`SourceError` if there is none."""

    def close(self) -> None:
        """Release files and devices."""


def open_source(spec: str, label: str, view: int, picture: PictureFormat) -> Source:
    """Open what ``spec`` names: '', a folder, a video file, or a camera (``/dev/video0`` or ``0``).

    ``label`` and ``view`` (0 for View1) are the scene's. ``picture`` applies to what is made here:
    the scene, the quality of re-encoded pictures, the size asked of a camera. Raises
    :class:`SourceError`.
    """
    if not spec:
        return Scene(label, view, picture)
    path = _path(spec)
    if not path.exists():
        raise SourceError(f"source {spec!r} for {label!r}: {path} does not exist; {_ACCEPTED}")
    if path.is_dir():
        return FolderSource(path, picture)
    return CaptureSource(path, picture, live=is_live(spec))


def is_live(spec: str) -> bool:
    """Whether ``spec`` names a camera."""
    return bool(spec) and _path(spec).is_char_device()


def _path(spec: str) -> Path:
    return Path(f"/dev/video{spec}" if spec.isdecimal() else spec).expanduser()


class FolderSource:
    """The pictures of a folder in the order of their names, one a call, over and over.

    JPEG files are read when their turn comes. Other pictures are encoded once, at opening, and held
    in memory. Every picture is checked at opening.
    """

    def __init__(self, folder: Path, picture: PictureFormat) -> None:
        self._pictures: list[Path | bytes] = []
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in _JPEG:
                _read_jpeg(path)
                self._pictures.append(path)
            elif path.suffix.lower() in _PNG:
                self._pictures.append(_encode_file(path, picture))
        if not self._pictures:
            raise SourceError(f"folder {folder} holds no .jpg, .jpeg or .png picture")
        self._sent = 0

    def jpeg(self, t: float) -> bytes:
        """The next picture, whatever the time."""
        current = self._pictures[self._sent % len(self._pictures)]
        self._sent += 1
        return _read_jpeg(current) if isinstance(current, Path) else current

    def close(self) -> None:
        """Nothing to release."""


class CaptureSource:
    """A video file, from the start again at its end, or a V4L2 camera; one frame a call.

    A video's frames keep their size and are not dropped or repeated to meet its own rate. A camera
    is asked for the picture's size, and a call waits for its next frame.
    """

    def __init__(self, path: Path, picture: PictureFormat, live: bool) -> None:
        self._path, self._picture, self._live = path, picture, live
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2 if live else cv2.CAP_ANY)
        if live:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, picture.width)
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, picture.height)
        self._first: cv2.typing.MatLike | None = None
        if self._capture.isOpened():
            self._first = self._capture.read()[1]
        if self._first is None:
            self._capture.release()
            what = "camera (is it in use?)" if live else "video"
            raise SourceError(f"{path} cannot be read as a {what}; {_ACCEPTED}")

    def jpeg(self, t: float) -> bytes:
        """The next frame, whatever the time."""
        image, self._first = self._first, None
        if image is None:
            image = self._read()
        return self._picture.encode(np.asarray(image, np.uint8))

    def close(self) -> None:
        """Let go of the file or device."""
        self._capture.release()

    def _read(self) -> cv2.typing.MatLike:
        delivered, image = self._capture.read()
        if not delivered and not self._live:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            delivered, image = self._capture.read()
        if not delivered:
            what = "camera: unplugged?" if self._live else "video: damaged or removed?"
            raise SourceError(f"{self._path} stopped delivering frames ({what})")
        return image


class Flickering:
    """Another source whose pictures all differ by a step or two of their quantisation, as those of
    a live camera do: no two within half a minute are equal, and no part of one is.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def jpeg(self, t: float) -> bytes:
        """The other source's picture for Unix time ``t`` [s]."""
        return flickered(self._source.jpeg(t), round(t * _FLICKER_RATE))

    def close(self) -> None:
        """Close the source behind."""
        self._source.close()


class PooledSource:
    """A few pictures of another source, made once at opening and sent over and over.

    They are spread evenly over one period of the needle's motion and chosen by the time asked for,
    so that the needle still agrees with robot and sensor; a time drawn in is the pool's. Each is
    commented with its time.
    """

    def __init__(self, source: Source, count: int, start: float) -> None:
        """Takes ``count`` pictures from ``source`` for the period from Unix time ``start`` [s]."""
        self._source, self._start = source, start
        self._jpegs = [source.jpeg(start + n * PERIOD / count) for n in range(count)]

    def jpeg(self, t: float) -> bytes:
        """The pool's picture for the needle's phase at Unix time ``t`` [s]."""
        count = len(self._jpegs)
        jpeg = self._jpegs[int((t - self._start) % PERIOD / PERIOD * count) % count]
        return commented(jpeg, f"{t:.6f}")

    def close(self) -> None:
        """Close the source behind."""
        self._source.close()


def _read_jpeg(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        jpeg_size(data)
    except (OSError, JpegError) as error:
        raise SourceError(f"picture {path} cannot be read: {error}") from error
    return data


def _encode_file(path: Path, picture: PictureFormat) -> bytes:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise SourceError(f"picture {path} cannot be read: damaged, or not a PNG?")
    return picture.encode(np.asarray(image, np.uint8))
