"""How many pictures whose coded data is damaged are taken for whole.

Not all can be told: some damage gives other codes, as good as the right ones, that end at the same
place. ``-s`` prints the counts, ``--full`` takes more pictures.
"""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from jpeg_damage import DAMAGES, padded
from numpy.typing import NDArray

from vla_inference_ros.core.pictures import decode

SEED = 11
SHORT, FULL = 20, 1000  # pictures of each kind and damage
VISIBLE = 20  # levels of 255 that a pixel must be off to count
SPOILT = 0.1  # of the pixels
PICTURE = (Path(__file__).parents[1] / "data" / "jpeg" / "base420.jpg").read_bytes()


def encoded(*options: int) -> bytes:
    pixels = decode(PICTURE, "BGR").pixels
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 72, *options])[1].tobytes()


# How many in a thousand may be taken though a tenth of their pixels is wrong.
KINDS: dict[str, tuple[bytes, int]] = {
    "baseline": (encoded(), 60),
    "optimized": (encoded(cv2.IMWRITE_JPEG_OPTIMIZE, 1), 120),
    "restarts": (encoded(cv2.IMWRITE_JPEG_RST_INTERVAL, 40), 0),
    "progressive": (encoded(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), 5),
}


def wrong(jpeg: bytes, right: NDArray[np.int_]) -> float | None:
    """The share of pixels that are off, None if the picture is refused."""
    try:
        pixels = decode(jpeg, "GRAY").pixels
    except ValueError:
        return None
    if pixels.shape != right.shape:
        return 1.0
    return float((np.abs(pixels.astype(int) - right) > VISIBLE).mean())


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_hardly_any_spoilt_picture_is_taken(kind: str, full: bool) -> None:
    jpeg, most = KINDS[kind]
    right = decode(jpeg, "GRAY").pixels.astype(int)
    count, spoilt = FULL if full else SHORT, 0
    for name, damage in DAMAGES.items():
        dice = random.Random(f"{SEED} {name}")
        shares = []
        for number in range(count):
            damaged = damage(jpeg, dice)
            shares.append(wrong(padded(damaged, dice) if number % 4 == 0 else damaged, right))
        taken = [share for share in shares if share is not None]
        worse = sum(share > SPOILT for share in taken)
        spoilt += worse
        print(f"{kind:12} {name:14} {count:5} taken {len(taken):4} spoilt {worse:4}")
    assert spoilt <= most * count * len(DAMAGES) / 1000


@pytest.mark.parametrize("kind", KINDS)
def test_padding_alone_spoils_nothing(kind: str) -> None:
    dice = random.Random(SEED)
    jpeg, _ = KINDS[kind]
    right = decode(jpeg, "GRAY").pixels.astype(int)
    shares = [wrong(padded(jpeg, dice), right) for _ in range(50)]
    assert shares.count(0.0) > 40  # longer padding than an encoder leaves is refused
    assert set(shares) <= {0.0, None}
