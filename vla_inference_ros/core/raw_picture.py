"""Turns the bytes of a raw picture, as camera drivers send them, into RGB pixels.

The encodings are those that ROS names (sensor_msgs/image_encodings.hpp), and ``nv12``. Owns what
each means and whether the bytes fit. Does not own messages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SIXTEEN_TO_EIGHT = 255.0 / 65535.0  # white stays white, whatever part of it a sensor uses


@dataclass(frozen=True, slots=True)
class _Encoding:
    """``channels`` numbers of ``size`` bytes a pixel; ``code`` is OpenCV's for bringing them to
    RGB, None if they are. With ``paired``, two pixels beside each other have their colour together;
    ``least`` is how many rows and columns a conversion needs.
    """

    channels: int
    code: int | None
    size: int = 1
    paired: bool = False
    least: int = 1


def _both_sizes(name: str, channels: int, code: int | None) -> dict[str, _Encoding]:
    return {f"{name}8": _Encoding(channels, code), f"{name}16": _Encoding(channels, code, 2)}


def _mosaic(pattern: str, code: int) -> dict[str, _Encoding]:
    """``pattern`` tells the first two pixels of the first row, then of the second."""
    both = _both_sizes(f"bayer_{pattern}", 1, code)
    return {name: replace(each, least=3) for name, each in both.items()}  # else OpenCV gives black


_ENCODINGS = {
    **_both_sizes("rgb", 3, None),
    **_both_sizes("bgr", 3, cv2.COLOR_BGR2RGB),
    **_both_sizes("rgba", 4, cv2.COLOR_RGBA2RGB),
    **_both_sizes("bgra", 4, cv2.COLOR_BGRA2RGB),
    **_both_sizes("mono", 1, cv2.COLOR_GRAY2RGB),
    # Names without an order of colours: it is OpenCV's, whose names they are.
    "8UC1": _Encoding(1, cv2.COLOR_GRAY2RGB),
    "8UC3": _Encoding(3, cv2.COLOR_BGR2RGB),
    "8UC4": _Encoding(4, cv2.COLOR_BGRA2RGB),
    **_mosaic("rggb", cv2.COLOR_BayerRGGB2RGB),
    **_mosaic("bggr", cv2.COLOR_BayerBGGR2RGB),
    **_mosaic("gbrg", cv2.COLOR_BayerGBRG2RGB),
    **_mosaic("grbg", cv2.COLOR_BayerGRBG2RGB),
    **dict.fromkeys(("yuv422_yuy2", "yuyv"), _Encoding(2, cv2.COLOR_YUV2RGB_YUY2, paired=True)),
    **dict.fromkeys(("yuv422", "uyvy"), _Encoding(2, cv2.COLOR_YUV2RGB_UYVY, paired=True)),
}
# A plane of brightness, then one of half the height with the colours of each four pixels.
_TWO_PLANES = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}
ENCODINGS = (*_ENCODINGS, *_TWO_PLANES)
REMEDY = (
    f"Have the driver send one of {', '.join(ENCODINGS)}, or name the camera's colour topic or its "
    "compressed one"
)


@dataclass(frozen=True, slots=True, eq=False)
class RawPicture:
    """``data`` of ``height`` rows of ``step`` bytes, of which ``width`` pixels are the first; of
    numbers of two bytes, the first is the greater where it ``is_bigendian``.
    """

    encoding: str
    width: int
    height: int
    step: int
    data: bytes | memoryview
    is_bigendian: bool = False

    def rgb(self) -> NDArray[np.uint8]:
        """(height, width, 3) uint8. ValueError if the encoding is none of ``ENCODINGS``, or the
        data does not fit.

        Of 16 bits the upper 8 are left, rounded. YUV is taken for BT.601 with Y from 16 to 235, as
        cameras send it.
        """
        if self.encoding in _TWO_PLANES:
            return self._of_two_planes()
        known = _ENCODINGS.get(self.encoding)
        if known is None:
            raise ValueError(f"a raw image's encoding {self.encoding!r} is not read. {REMEDY}")
        if known.paired:
            self._check_even(self.width)
        rows = self._rows(self.height, self.width * known.channels * known.size)
        if min(self.width, self.height) < known.least:
            raise ValueError(
                f"raw image of {self.width}x{self.height} {self.encoding} is too small to fill in "
                f"its colours: {known.least}x{known.least} pixels at least"
            )
        numbers: NDArray[Any] = rows
        if known.size == 2:
            numbers = np.ascontiguousarray(rows).view(">u2" if self.is_bigendian else "<u2")
            numbers = numbers.astype(np.uint16, copy=False)
        pixels = numbers.reshape(self.height, self.width, known.channels)
        return self._eight_bits(self._converted(pixels, known.code))

    def _of_two_planes(self) -> NDArray[np.uint8]:
        self._check_even(self.width)
        self._check_even(self.height)
        rows = self._rows(self.height * 3 // 2, self.width)
        return self._eight_bits(self._converted(rows, _TWO_PLANES[self.encoding]))

    def _rows(self, count: int, used: int) -> NDArray[np.uint8]:
        """(count, used): the bytes of each row that are the picture's."""
        if self.step < used or len(self.data) < self.step * count or used * count == 0:
            raise ValueError(
                f"raw image of {len(self.data)} bytes does not hold {self.width}x{self.height} "
                f"{self.encoding} with rows of {self.step} bytes"
            )
        rows = np.frombuffer(self.data, np.uint8)[: self.step * count]
        return rows.reshape(count, self.step)[:, :used]

    def _check_even(self, length: int) -> None:
        if length % 2:
            raise ValueError(
                f"raw image of {self.width}x{self.height} {self.encoding}, whose pixels have their "
                "colours together, cannot be of odd size"
            )

    def _converted(self, pixels: NDArray[Any], code: int | None) -> NDArray[Any]:
        if code is None:
            return pixels
        try:
            return cv2.cvtColor(np.ascontiguousarray(pixels), code)
        except cv2.error as error:
            raise ValueError(
                f"raw image of {self.width}x{self.height} {self.encoding} cannot be converted: "
                f"{error.err}"
            ) from error

    @staticmethod
    def _eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
        if pixels.dtype == np.uint16:
            pixels = cv2.convertScaleAbs(pixels, alpha=_SIXTEEN_TO_EIGHT)
        return pixels.astype(np.uint8, copy=False)
