from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vla_inference_ros.web.picture import small_picture

CASES = Path(__file__).parents[1] / "data" / "jpeg"


def encoded(width: int, height: int, kind: str = ".jpg") -> bytes:
    """Black on the left, red on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = (0, 0, 255)
    return cv2.imencode(kind, pixels)[1].tobytes()


@pytest.mark.parametrize("kind", [".jpg", ".png"])
@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((1280, 720), (320, 180)),
        ((2560, 1440), (320, 180)),
        ((2562, 80), (320, 10)),
        ((640, 480), (320, 240)),
        ((700, 700), (320, 320)),
        ((321, 100), (320, 100)),
        ((160, 90), (160, 90)),
    ],
)
def test_it_is_small_and_the_same_picture(
    size: tuple[int, int], small: tuple[int, int], kind: str
) -> None:
    jpeg = small_picture(encoded(*size, kind))
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert (pixels.shape[1], pixels.shape[0]) == small
    middle, width = pixels.shape[0] // 2, pixels.shape[1]
    assert np.abs(pixels[middle, width // 4].astype(int) - (0, 0, 0)).max() < 30
    assert np.abs(pixels[middle, 3 * width // 4].astype(int) - (0, 0, 255)).max() < 30


@pytest.mark.parametrize(
    "damaged", [b"", b"no picture", encoded(64, 64)[:200], encoded(64, 64)[:-9] + b"\xff\xd9"]
)
def test_what_is_no_picture_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG"):
        small_picture(damaged)


def test_an_orientation_tag_turns_nothing() -> None:
    """As in the VLM's picture."""
    plain, tagged = ((CASES / name).read_bytes() for name in ("base420.jpg", "exif6.jpg"))
    assert plain != tagged
    assert small_picture(plain) == small_picture(tagged)
