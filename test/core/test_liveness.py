"""Live pictures and samples pass, dead ones whose stamps go on are told, and soon."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from vla_inference_ros.core.liveness import (
    LOOK_PERIOD,
    SENSOR_DEAD_AFTER,
    Look,
    SensorLife,
    Twins,
    ViewLife,
)
from vla_inference_ros.core.pictures import decode
from vla_inference_ros.core.troubles import BLANK, REPEATED_PICTURES, UNCHANGED
from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE
from vla_inference_ros.sim.jpeg_content import commented, flickered
from vla_inference_ros.sim.oct_scan import oct_samples
from vla_inference_ros.sim.scene import PictureFormat, Scene
from vla_inference_ros.sim.source import PooledSource, Source

START = 1_700_000_000.0
FORMAT = PictureFormat(640, 360)
SCENES = [Scene(f"View{view + 1}", view, FORMAT) for view in range(5)]
SOON = 4  # looks: with the time to the first of them less than a second


def look(stamp: float, jpeg: bytes) -> Look:
    return Look.of(stamp, decode(jpeg, "GRAY", (640, 360)).pixels)


def course(jpegs: Sequence[bytes], period: float = LOOK_PERIOD) -> list[list[str]]:
    """What is said of each of these pictures, which are looked at one after the other."""
    life = ViewLife()
    return [life.add(look(START + n * period, jpeg)) for n, jpeg in enumerate(jpegs)]


def noise(level: float, deviation: float, seed: int) -> bytes:
    values = np.random.default_rng(seed).normal(level, deviation, (360, 640, 3))
    return cv2.imencode(".jpg", np.clip(values, 0, 255).astype(np.uint8))[1].tobytes()


def photograph(name: str, quality: int = 72) -> bytes:
    bgr = cv2.cvtColor(getattr(skimage.data, name)(), cv2.COLOR_RGB2BGR)
    small = cv2.resize(bgr, (640, 360))
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


@pytest.mark.parametrize("fps", [5.0, 6.0, 10.0, 12.5, 15.0, 20.0, 24.0, 25.0, 30.0, 60.0])
@pytest.mark.parametrize("pool", [0, 10])
def test_the_simulated_cameras_are_alive(pool: int, fps: float) -> None:
    source: Source = SCENES[0]
    if pool:
        source = PooledSource(source, pool, START)
    frames = [source.jpeg(START + n / fps) for n in range(int(4 * fps))]
    life, seen = ViewLife(), []
    for step in range(20):
        number = int(step * LOOK_PERIOD * fps)
        seen += life.add(look(START + number / fps, frames[number]))
    assert seen == []


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket", "retina"])
def test_photographs_that_are_sent_as_by_a_live_camera_are_alive(name: str) -> None:
    picture = photograph(name)
    assert course([flickered(picture, 5 * n) for n in range(20)]) == [[]] * 20


def test_noise_in_one_pixel_in_a_hundred_is_life() -> None:
    """A scene at rest, in good light."""
    dice = np.random.default_rng(1)
    still = decode(photograph("chelsea"), "GRAY").pixels.astype(int)
    life = ViewLife()
    for n in range(10):
        flips = dice.random(still.shape) < 0.01
        pixels = np.clip(still + flips, 0, 255).astype(np.uint8)
        assert life.add(Look.of(START + n * LOOK_PERIOD, pixels)) == []


@pytest.mark.parametrize(
    "dead",
    [
        lambda picture, n: picture,
        lambda picture, n: commented(picture, f"frame {n}"),
        lambda picture, n: picture + n.to_bytes(4, "big"),
    ],
    ids=["equal bytes", "a counter in a comment", "a counter behind the end"],
)
def test_a_frozen_picture_is_told(dead: Callable[[bytes, int], bytes]) -> None:
    live = [SCENES[0].jpeg(START + n * LOOK_PERIOD) for n in range(3)]
    said = course([*live, *(dead(live[-1], n) for n in range(SOON))])
    assert said[:3] == [[]] * 3
    assert said[-1] == [UNCHANGED]


def test_a_picture_that_is_looked_at_twice_is_not_frozen() -> None:
    life = ViewLife()
    for _ in range(10):
        assert life.add(look(START, SCENES[0].jpeg(START))) == []


@pytest.mark.parametrize("length", [2, 3])
def test_a_ring_of_old_pictures_is_told(length: int) -> None:
    ring = [SCENES[0].jpeg(START + n) for n in range(length)]
    said = course([ring[n % length] for n in range(8)])
    assert said[SOON - 1] == [REPEATED_PICTURES]
    assert said[SOON - 1 :] == [[REPEATED_PICTURES]] * (9 - SOON)


def test_what_comes_to_life_again_is_alive_at_once() -> None:
    frozen = SCENES[0].jpeg(START)
    said = course([*[frozen] * 5, *(SCENES[0].jpeg(START + n) for n in range(1, 5))])
    assert said[4] == [UNCHANGED]
    assert said[5:] == [[]] * 4


def test_time_that_is_set_back_begins_anew() -> None:
    """As when a bag is played again."""
    life = ViewLife()
    pictures = [SCENES[0].jpeg(START + n) for n in range(3)]
    for _ in range(2):
        for n, picture in enumerate(pictures):
            assert life.add(look(START + n, picture)) == []


@pytest.mark.parametrize(
    ("level", "deviation"), [(0.0, 0.0), (5.0, 4.0), (255.0, 0.0), (250.0, 8.0), (128.0, 60.0)]
)
def test_a_covered_lens_is_told(level: float, deviation: float) -> None:
    said = course([noise(level, deviation, n) for n in range(SOON)])
    assert BLANK in said[-1]
    assert BLANK not in said[0]  # one dark picture may be a flash's gap


def test_a_dim_scene_is_no_covered_lens() -> None:
    bright = decode(photograph("rocket"), "GRAY").pixels
    dim = (bright / 8).astype(np.uint8)
    assert not Look.of(START, dim).is_blank


def twins(pictures: Callable[[int, int], bytes]) -> set[tuple[str, str]]:
    """The views that are alike at last, of what each sends."""
    watch, found = Twins(), []
    for n in range(SOON):
        stamps = [START + n * LOOK_PERIOD + 0.01 * view for view in range(5)]
        looks = {f"View{v + 1}": look(stamps[v], pictures(v, n)) for v in range(5)}
        found = watch.add(looks)
    return set(found)


def test_the_views_of_one_scene_are_no_twins() -> None:
    assert twins(lambda view, n: SCENES[view].jpeg(START + n)) == set()


def test_covered_lenses_are_no_twins() -> None:
    assert twins(lambda view, n: noise(5.0, 4.0, 10 * n + view)) == set()


@pytest.mark.parametrize("qualities", [(72,) * 5, (60, 70, 72, 80, 90)])
def test_one_picture_on_all_views_is_told_also_if_each_codes_it_by_itself(
    qualities: Sequence[int],
) -> None:
    coded = [[photograph(name, q) for q in qualities] for name in ("coffee", "chelsea")]
    assert len(twins(lambda view, n: coded[n % 2][view])) == 10


def test_one_camera_on_two_views_is_told_though_its_scene_moves() -> None:
    def picture(view: int, n: int) -> bytes:  # View2 has View1's camera, a moment later
        return SCENES[0 if view == 1 else view].jpeg(START + 6.0 + n * LOOK_PERIOD + 0.03 * view)

    assert twins(picture) == {("View1", "View2")}


# --- the sensor

BATCH = 15


def lives(ascans: Callable[[NDArray[np.float64]], NDArray[np.float32]], seconds: float) -> bool:
    """Whether the sensor is alive in the end."""
    life = SensorLife()
    for first in range(0, int(seconds * SENSOR_RATE), BATCH):
        times = START + np.arange(first, first + BATCH) / SENSOR_RATE
        life.add(times, ascans(times))
    return not life.is_dead


def test_the_simulated_sensor_is_alive_for_all_of_its_motion() -> None:
    life = SensorLife()
    for first in range(0, int(21 * SENSOR_RATE), BATCH):
        times = START + np.arange(first, first + BATCH) / SENSOR_RATE
        life.add(times, oct_samples(times)[1])
        assert not life.is_dead


def test_a_constant_sensor_is_dead_in_time() -> None:
    constant = np.random.default_rng(0).random((BATCH, ASCAN_LENGTH)).astype(np.float32)
    constant[:] = constant[0]
    assert lives(lambda times: constant, SENSOR_DEAD_AFTER - 0.1)
    assert not lives(lambda times: constant, SENSOR_DEAD_AFTER + 0.1)


@pytest.mark.parametrize("length", [BATCH, 10 * BATCH, 1500])
def test_old_samples_that_come_again_are_dead(length: int) -> None:
    old = np.random.default_rng(0).random((length, ASCAN_LENGTH)).astype(np.float32)

    def ring(times: NDArray[np.float64]) -> NDArray[np.float32]:
        return old[np.rint((times - START) * SENSOR_RATE).astype(int) % length]

    whole = length / SENSOR_RATE
    assert lives(ring, whole)
    assert not lives(ring, whole + SENSOR_DEAD_AFTER + 0.1)


def test_doubled_and_overtaken_datagrams_do_not_make_it_dead() -> None:
    life = SensorLife()
    batches = [START + np.arange(n, n + BATCH) / SENSOR_RATE for n in range(0, 1300, BATCH)]
    for one, other in zip(batches[::2], batches[1::2], strict=False):
        for times in (other, one, one, other):
            life.add(times, oct_samples(times)[1])
            assert not life.is_dead


@pytest.mark.parametrize("step", [-10.0, -2.0, 1.5, 100.0])
def test_a_clock_that_is_set_makes_no_live_sensor_dead(step: float) -> None:
    life = SensorLife()
    for first in range(0, 1300, BATCH):
        true = START + np.arange(first, first + BATCH) / SENSOR_RATE
        life.add(true + (step if first > 650 else 0.0), oct_samples(true)[1])
        assert not life.is_dead


def test_it_comes_to_life_again() -> None:
    life = SensorLife()
    times = START + np.arange(650) / SENSOR_RATE
    life.add(times, np.zeros((650, ASCAN_LENGTH), np.float32))
    assert life.is_dead
    times = times[:1] + 1.0
    life.add(times, oct_samples(times)[1])
    assert not life.is_dead
