"""A recorded picture as a dataset declares it: upright, with three channels, whoever reads it.

The package's models take a picture's pixels as they are coded, and grey or CMYK ones as RGB. Those
who read a dataset may do otherwise: their library hands out one channel, or four, and turns a
picture as its tag of orientation says.
"""

from __future__ import annotations

import cv2

from vla_inference_ros.core.jpeg import jpeg_form, without_metadata
from vla_inference_ros.core.pictures import decode

_CHANNELS = 3


def check_picture(jpeg: bytes) -> None:
    """ValueError for a picture that is damaged between its markers, at the least cost."""
    decode(jpeg, "GRAY", least=(1, 1))


def dataset_picture(jpeg: bytes) -> tuple[bytes, str]:
    """(the picture's bytes, the end of its name). A JPEG of three channels stays as it is, but for
    metadata that may tell readers to turn it; another becomes a PNG of the RGB pixels that the
    models see. ValueError if it is damaged.
    """
    if jpeg_form(jpeg).components == _CHANNELS:
        return without_metadata(jpeg), ".jpg"
    _, png = cv2.imencode(".png", decode(jpeg, "BGR").pixels)
    return png.tobytes(), ".png"
