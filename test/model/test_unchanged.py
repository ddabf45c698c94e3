from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vla_inference_ros.model.interface import View
from vla_inference_ros.model.unchanged import Age, UnchangedPicture

Picture = bytes | np.ndarray


def ages(*course: tuple[float, Picture]) -> list[Age]:
    """What is said of each of these (stamp, picture), in this order."""
    unchanged = UnchangedPicture()
    return [unchanged.age(View("View1", stamp, picture)) for stamp, picture in course]


def since(*course: tuple[float, Picture]) -> list[float]:
    """The earliest times that they may be of."""
    return [age.earliest for age in ages(*course)]


def test_the_first_of_equal_pictures_is_remembered() -> None:
    course = [(0.5, b"a"), (1.0, b"b"), (2.0, b"b"), (3.0, b"b"), (4.0, b"c")]
    assert [age.first for age in ages(*course)] == [0.5, 1.0, 1.0, 1.0, 4.0]


def test_pictures_that_differ_are_as_old_as_they_are() -> None:
    assert since((1.0, b"a"), (2.0, b"b"), (3.0, b"c")) == [1.0, 2.0, 3.0]


def test_repeated_pictures_are_as_old_as_the_last_that_differed() -> None:
    """The camera may have frozen at any time since then; the first of them cannot be told."""
    frozen = [(float(stamp), bytes([7, 7])) for stamp in range(1, 6)]
    assert since(*frozen) == [1.0] * 5  # before the first nothing is known
    expected = [0.5, 1.0, *[0.5] * 4, 6.0, 5.0]
    assert since((0.5, b"a"), *frozen, (6.0, b"b"), (7.0, b"b")) == expected


def test_a_picture_that_was_there_before_another_is_new_again() -> None:
    assert since((1.0, b"a"), (2.0, b"b"), (3.0, b"a")) == [1.0, 2.0, 3.0]


def test_a_picture_that_is_looked_at_twice_stays_as_old_as_it_is() -> None:
    assert since((1.0, b"a"), (1.0, b"a"), (1.0, b"b")) == [1.0, 1.0, 1.0]


def test_equal_pixels_are_noticed(pixels: Callable[..., np.ndarray]) -> None:
    live, frozen = pixels(1), pixels(2)
    course = [(1.0, live), (2.0, frozen), (3.0, frozen.copy()), (4.0, frozen.copy())]
    assert since(*course) == [1.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize("place", [(0, 0, 0), (-1, -1, -1), (300, 500, 1)])
def test_one_number_of_one_pixel_makes_a_picture_another(
    pixels: Callable[..., np.ndarray], place: tuple[int, int, int]
) -> None:
    before = pixels(1)
    after = before.copy()
    after[place] ^= 1
    assert since((1.0, before), (2.0, after)) == [1.0, 2.0]


def test_one_byte_makes_a_picture_another(jpeg: Callable[..., bytes]) -> None:
    before = jpeg(1)
    after = before[:-3] + bytes([before[-3] ^ 1]) + before[-2:]
    assert since((1.0, before), (2.0, bytes(bytearray(before))), (3.0, after)) == [1.0, 1.0, 3.0]


@pytest.mark.parametrize(
    "other",
    [
        np.zeros((3, 4, 3), np.uint8),
        np.zeros((4, 3, 3), np.uint8).tobytes(),
        b"",
        np.zeros((0, 0, 3), np.uint8),
    ],
    ids=["shape", "bytes", "no bytes", "no pixels"],
)
def test_pictures_of_another_size_or_kind_are_others(other: Picture) -> None:
    picture = np.zeros((4, 3, 3), np.uint8)
    assert since((1.0, picture), (2.0, other), (3.0, picture)) == [1.0, 2.0, 3.0]


def test_time_that_was_set_back_starts_over() -> None:
    # As when a bag is played again: else its picture would be from the future.
    assert since((100.0, b"a"), (101.0, b"a"), (50.0, b"a"), (51.0, b"a")) == [
        *(100.0, 100.0),
        *(50.0, 50.0),
    ]


def test_each_view_has_its_own() -> None:
    first, second = UnchangedPicture(), UnchangedPicture()
    assert first.age(View("View1", 1.0, b"a")).earliest == 1.0
    assert second.age(View("View2", 2.0, b"a")).earliest == 2.0
