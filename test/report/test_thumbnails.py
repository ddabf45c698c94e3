"""Which pictures are kept, and how small they get."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from recorded import JPEG

from vla_inference_ros.report.thumbnails import Thumbnails, small_jpeg

START = 1_700_000_000.0


@pytest.mark.parametrize("length", [2.0, 60.0, 7200.0])
def test_moments_are_spread_over_the_run_and_few_pictures_are_kept(length: float) -> None:
    thumbnails = Thumbnails()
    interval = length / 4000
    for number in range(4000):
        time = START + number * interval
        for view in ("View1", "View2"):
            thumbnails.offer(view, time, b"%d" % number)
    assert sum(map(len, thumbnails._kept.values())) <= 2 * 48
    moments = thumbnails.moments(6)
    assert len(moments) == 6
    times = np.array([moment["View1"][0] for moment in moments]) - START
    np.testing.assert_allclose(times, np.linspace(0, length, 6), atol=length / 10)
    for moment in moments:
        assert set(moment) == {"View1", "View2"}
        time, jpeg = moment["View2"]
        assert jpeg == b"%d" % round((time - START) / interval)


def test_a_view_that_comes_late_has_no_picture_before() -> None:
    thumbnails = Thumbnails()
    for number in range(200):
        thumbnails.offer("View1", START + number, b"1")
        if number > 100:
            thumbnails.offer("View2", START + number, b"2")
    moments = thumbnails.moments(6)
    assert [len(moment) for moment in moments] == [1, 1, 1, 2, 2, 2]


def test_no_pictures_no_moments() -> None:
    assert Thumbnails().moments(6) == []


def test_very_many_views_are_not_all_kept() -> None:
    thumbnails = Thumbnails()
    for number in range(1000):
        thumbnails.offer(f"View{number}", START, b"")
    assert len(thumbnails.moments(6)[0]) == 16


def test_a_time_that_is_none_is_passed_over() -> None:
    thumbnails = Thumbnails()
    thumbnails.offer("View1", float("nan"), b"")
    assert thumbnails.moments(6) == []


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (300, 900), (64, 48)])
def test_small(width: int, height: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    small = small_jpeg(cv2.imencode(".jpg", pixels)[1].tobytes(), 240)
    assert small is not None
    decoded = cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    shape = decoded.shape
    assert max(shape) <= 240
    assert shape[1] / shape[0] == pytest.approx(width / height, rel=0.05)


def test_what_is_no_picture() -> None:
    bomb = bytearray(JPEG)
    size = bomb.index(b"\xff\xc0") + 5
    bomb[size : size + 4] = b"\xff\xff\xff\xff"
    for damaged in (b"", b"nonsense", JPEG[:40] + b"\xff\xd9", bytes(bomb)):
        assert small_jpeg(damaged, 240) is None
