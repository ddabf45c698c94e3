"""Of all pictures that come, without decoding: new ones pass, and old ones are told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vla_inference_ros.core.jpeg import jpeg_content
from vla_inference_ros.core.liveness import PictureRenewal
from vla_inference_ros.core.troubles import REPEATED_PICTURES, UNCHANGED
from vla_inference_ros.sim.jpeg_content import commented
from vla_inference_ros.sim.scene import PictureFormat, Scene
from vla_inference_ros.sim.source import Flickering, PooledSource, Source

START = 1_700_000_000.0
CAMERA = Flickering(Scene("View1", 0, PictureFormat(640, 360)))


def told_of_each(jpegs: Sequence[bytes], fps: float) -> list[str]:
    """What is said of each of these pictures, which come one after the other."""
    renewal, said = PictureRenewal(), []
    for n, jpeg in enumerate(jpegs):
        renewal.add(START + n / fps, jpeg_content(jpeg))
        said.append(renewal.trouble)
    return said


@pytest.mark.parametrize("fps", [5.0, 6.0, 15.0, 30.0, 60.0])
@pytest.mark.parametrize("pool", [0, 1, 10])
def test_all_pictures_of_simulated_cameras_are_new(pool: int, fps: float) -> None:
    scene: Source = Scene("View1", 0, PictureFormat(64, 36))
    source = Flickering(PooledSource(scene, pool, START) if pool else scene)
    frames = [source.jpeg(START + n / fps) for n in range(int(25 * fps))]
    assert set(told_of_each(frames, fps)) == {""}


@pytest.mark.parametrize("length", [2, 7, 10, 30, 40, 60])
def test_a_ring_is_told_of_from_the_first_picture_that_comes_again(length: int) -> None:
    ring = [CAMERA.jpeg(START + n / 15) for n in range(length)]
    said = told_of_each([commented(ring[n % length], f"{n}") for n in range(3 * length + 15)], 15)
    first = max(length, 6)  # of two, what is 0.3 s old at last
    assert said[: min(length, 4)] == [""] * min(length, 4)
    assert said[first:] == [REPEATED_PICTURES] * (len(said) - first)


@pytest.mark.parametrize("fps", [10.0, 15.0, 30.0])
@pytest.mark.parametrize("period", [0.28, 0.6])
def test_pictures_that_are_renewed_too_seldom_are_told_all_the_time(
    period: float, fps: float
) -> None:
    live, taken = [], -1.0
    for n in range(int(5 * fps)):
        if n / fps - taken >= period:
            taken, jpeg = n / fps, CAMERA.jpeg(START + n / fps)
        live.append(jpeg)
    said = told_of_each(live, fps)
    assert said[int(fps) :] == [UNCHANGED] * int(4 * fps)


@pytest.mark.parametrize(("device", "sender"), [(5, 30), (10, 30), (15, 30), (5, 10), (25, 30)])
def test_a_sender_that_is_quicker_than_its_camera_is_alive(device: int, sender: int) -> None:
    live = [CAMERA.jpeg(START + int(n * device / sender)) for n in range(4 * sender)]
    assert set(told_of_each(live, sender)) == {""}


@pytest.mark.parametrize("fps", [5.0, 10.0, 30.0])
def test_a_picture_that_comes_twice_now_and_then_is_alive(fps: float) -> None:
    live = [CAMERA.jpeg(START + n / fps) for n in range(40)]
    live[2::9] = live[1::9][: len(live[2::9])]
    assert set(told_of_each(live, fps)) == {""}
