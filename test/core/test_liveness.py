"""Live pictures pass, dead ones whose stamps go on are told, and soon."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from vla_inference_ros.core.liveness import LOOK_PERIOD, Look, Twins, ViewLife
from vla_inference_ros.core.pictures import decode
from vla_inference_ros.core.troubles import BLANK, REPEATED_PICTURES, UNCHANGED
from vla_inference_ros.sim.jpeg_content import commented, flickered
from vla_inference_ros.sim.scene import PictureFormat, Scene
from vla_inference_ros.sim.source import Flickering, PooledSource, Source

START = 1_700_000_000.0
FORMAT = PictureFormat(640, 360)
SCENES = [Flickering(Scene(f"View{view + 1}", view, FORMAT)) for view in range(5)]
SOON = 4  # looks: with the time to the first of them less than a second


def look(stamp: float, jpeg: bytes) -> Look:
    decoded = decode(jpeg, "GRAY", (640, 360))
    return Look.of(stamp, decoded.pixels, decoded.size)


def course(jpegs: Sequence[bytes], period: float = LOOK_PERIOD) -> list[list[str]]:
    """What is said of each of these pictures, which are looked at one after the other."""
    life = ViewLife()
    return [life.add(look(START + n * period, jpeg)) for n, jpeg in enumerate(jpegs)]


def noise(level: float | NDArray[np.float64], deviation: float, seed: int) -> bytes:
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
    source = Flickering(source)
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


def test_what_comes_to_life_again_is_alive_when_all_has_been_new_for_a_second() -> None:
    frozen = SCENES[0].jpeg(START)
    said = course([*[frozen] * 5, *(SCENES[0].jpeg(START + n) for n in range(1, 10))])
    assert said[4:9] == [[UNCHANGED]] * 5  # one new picture makes no live camera
    assert said[10:] == [[]] * 4


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


def falling_off(shape: str) -> NDArray[np.float64]:
    """(360, 640): light with nothing in it."""
    y, x = np.mgrid[0:360, 0:640]
    from_centre = np.hypot(x - 320, y - 180) / 320
    light: dict[str, NDArray[np.float64]] = {
        "a little": 8 + 6 * np.exp(-3 * from_centre**2),
        "to one side": x / 640 * 200,
        "as by a lens": 200 * np.cos(np.arctan(0.577 * from_centre)) ** 4,
        "into a corner": 5 + 60 * np.exp(-((x / 300) ** 2 + (y / 300) ** 2)),
    }
    return light[shape]


@pytest.mark.parametrize("shape", ["a little", "to one side", "as by a lens", "into a corner"])
def test_a_covered_lens_that_light_comes_through_is_told(shape: str) -> None:
    light = falling_off(shape)[..., np.newaxis]
    said = course([noise(np.broadcast_to(light, (360, 640, 3)), 3.0, n) for n in range(SOON)])
    assert said[-1] == [BLANK]


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket", "retina"])
def test_a_scene_far_out_of_focus_is_no_covered_lens(name: str) -> None:
    blurred = cv2.GaussianBlur(decode(photograph(name), "GRAY").pixels, (0, 0), 30.0)
    assert not Look.of(START, np.asarray(blurred, np.uint8)).is_blank


def test_a_dim_scene_is_no_covered_lens() -> None:
    bright = decode(photograph("rocket"), "GRAY").pixels
    dim = (bright / 8).astype(np.uint8)
    assert not Look.of(START, dim).is_blank


def twins(
    pictures: Callable[[int, int], bytes], looks_at: Sequence[int] = range(SOON)
) -> set[tuple[str, str]]:
    """The views that are alike at last, of what each sends."""
    watch, found = Twins(), []
    for n in looks_at:
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


def mirrored(jpeg: bytes, axis: int) -> bytes:
    return cv2.imencode(".jpg", cv2.flip(colours(jpeg), axis))[1].tobytes()


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_one_camera_on_two_views_is_told_though_one_is_mirrored(axis: int) -> None:
    def picture(view: int, n: int) -> bytes:
        jpeg = SCENES[0 if view == 1 else view].jpeg(START + 6.0 + n * LOOK_PERIOD)
        return mirrored(jpeg, axis) if view == 1 else jpeg

    assert twins(picture) == {("View1", "View2")}


@pytest.mark.parametrize("late", [0, 1])
def test_one_camera_on_two_views_is_told_though_one_is_late_and_the_scene_moves(late: int) -> None:
    """A view of which nothing stays in its place, and four looks that the other is behind by."""
    moving = [photograph(name) for name in ("astronaut", "chelsea", "coffee", "rocket", "retina")]

    def picture(view: int, n: int) -> bytes:
        if view > 1 or n >= 20:
            return SCENES[view].jpeg(START + n)
        return moving[(n - 4 * (view == late)) % len(moving)]

    assert twins(picture, range(4 + SOON)) == {("View1", "View2")}
    assert twins(picture, range(20 + 8)) == set()  # soon after each has its own camera


def test_twins_of_before_time_was_set_back_are_forgotten() -> None:
    def picture(view: int, n: int) -> bytes:
        is_shown_by_both = view == 1 and n >= 20
        return SCENES[0 if is_shown_by_both else view].jpeg(START + 6.0 + n * LOOK_PERIOD)

    assert twins(picture, [*range(20, 28), *range(8)]) == set()


def colours(jpeg: bytes) -> NDArray[np.uint8]:
    return decode(jpeg, "BGR").pixels


def clocked(jpeg: bytes, number: int, quality: int = 85) -> bytes:
    """The picture coded anew with a running clock in its corner."""
    bgr = colours(jpeg)
    text = f"{START + number * LOOK_PERIOD:.3f}"
    cv2.putText(bgr, text, (10, 350), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket", "retina"])
def test_a_frozen_picture_with_a_running_clock_in_it_is_told(name: str) -> None:
    frozen = photograph(name)
    assert course([clocked(frozen, n) for n in range(SOON)])[-1] == [UNCHANGED]


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket", "retina"])
def test_a_live_camera_that_writes_a_clock_into_its_picture_is_alive(name: str) -> None:
    """With the little noise that a scene at rest in good light has, most of it lost in coding."""
    dice = np.random.default_rng(1)
    bgr = colours(photograph(name, 95))
    pictures = []
    for n in range(10):
        noisy = np.clip(bgr + dice.normal(0.0, 1.0, bgr.shape), 0, 255).astype(np.uint8)
        pictures.append(clocked(cv2.imencode(".png", noisy)[1].tobytes(), n, 60))
    assert course(pictures) == [[]] * 10


@pytest.mark.parametrize("size", [(32, 18), (360, 640), (1280, 720)])
def test_a_size_that_changes_is_told_with_both_sizes_until_it_is_as_before(
    size: tuple[int, int],
) -> None:
    live = [SCENES[0].jpeg(START + n) for n in range(6)]
    pixels = colours(live[2])
    live[2] = cv2.imencode(".jpg", cv2.resize(pixels, size))[1].tobytes()
    said = course(live)
    told = f"pictures have changed their size from 640x360 to {size[0]}x{size[1]}"
    assert said == [[], [], [told], [], [], []]
