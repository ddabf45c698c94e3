"""Makes the page's small pictures."""

from __future__ import annotations

import cv2

from vla_inference_ros.core.pictures import decode

WIDTH = 320  # pixels; no small picture is wider
_QUALITY = 70  # JPEG


def small_picture(picture: bytes) -> bytes:
    """A JPEG at most ``WIDTH`` wide of a JPEG or PNG.

    ValueError for what is neither, is damaged, or would be huge once decoded.
    """
    # A JPEG is decoded at a half, a quarter or an eighth at a fraction of the time.
    pixels = decode(picture, "BGR", least=(WIDTH, 1)).pixels
    height, width = pixels.shape[:2]
    if width > WIDTH:
        size = (WIDTH, max(1, round(height * WIDTH / width)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)
    done, jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    if not done:
        raise ValueError("the small picture cannot be encoded")
    return jpeg.tobytes()
