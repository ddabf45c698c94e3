"""Decodes JPEGs where simplejpeg is not installed, as on a machine that lacks some of what the
package needs: by OpenCV, whose pixels are the same. It does not tell what is damaged, and a bench
sends nothing damaged.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from vla_inference_ros.core.jpeg import jpeg_size

if TYPE_CHECKING:  # what is missing is told where it is used
    import numpy as np
    from numpy.typing import NDArray

_NAME = "simplejpeg"


def stand_in() -> None:
    """Have ``import simplejpeg`` find this, unless there is the real one."""
    if _NAME not in sys.modules and importlib.util.find_spec(_NAME) is None:
        module = ModuleType(_NAME, __doc__)
        module.__dict__["decode_jpeg"] = decode_jpeg
        sys.modules[_NAME] = module


def decode_jpeg(
    data: bytes,
    colorspace: str = "RGB",
    *,
    min_width: int = 0,
    min_height: int = 0,
    strict: bool = True,
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, or (H, W, 1) of "GRAY", as simplejpeg's function of this name. ValueError
    for what is damaged so that nothing can be made of it, strictly or not.
    """
    import cv2
    import numpy as np

    from vla_inference_ros.core import pictures

    # OpenCV makes a picture of a part of one too, without a word that could be heard.
    pictures.check_end = _check_end
    color, gray = {
        1: (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE),
        2: (cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
        4: (cv2.IMREAD_REDUCED_COLOR_4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
        8: (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
    }[_factor(data, min_width, min_height) if min_width and min_height else 1]
    flag = (gray if colorspace == "GRAY" else color) | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    if colorspace == "GRAY":
        pixels = pixels[..., None]
    elif colorspace == "RGB":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels.astype(np.uint8, copy=False)


def _check_end(data: bytes) -> None:
    """That a picture needs its last byte is taken for granted."""


def _factor(data: bytes, min_width: int, min_height: int) -> int:
    """The strongest reduction that leaves the picture as large as that."""
    width, height = jpeg_size(data)
    for factor in (8, 4, 2):
        if -(-width // factor) >= min_width and -(-height // factor) >= min_height:
            return factor
    return 1
