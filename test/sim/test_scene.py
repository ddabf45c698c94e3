import cv2
import numpy as np
import pytest

from vla_inference_ros.core.jpeg import jpeg_size
from vla_inference_ros.sim.scene import VIEWPOINTS, PictureFormat, Scene

START = 1_700_000_000.0  # the needle is clear of the eye
SMALL = PictureFormat(width=320, height=180)


def test_a_full_size_frame_has_about_the_size_of_the_rigs() -> None:
    jpeg = Scene("View1", 0, PictureFormat()).jpeg(START + 8.0)
    assert jpeg_size(jpeg) == (1280, 720)
    assert 0.85 * 150_000 < len(jpeg) < 1.15 * 150_000


def test_a_target_size_is_met_within_15_percent() -> None:
    jpeg = Scene("View1", 0, PictureFormat(640, 360, target_bytes=60_000)).jpeg(START)
    assert 0.85 * 60_000 < len(jpeg) < 1.15 * 60_000


def test_a_target_out_of_reach_is_refused() -> None:
    with pytest.raises(ValueError, match=r"out of reach for 320x180 at quality 72"):
        Scene("View1", 0, PictureFormat(320, 180, target_bytes=5_000_000))


def test_the_default_target_refuses_no_size() -> None:
    assert jpeg_size(Scene("View1", 0, PictureFormat(64, 36)).jpeg(START)) == (64, 36)


def test_no_texture_gives_a_small_file() -> None:
    plain = Scene("View1", 0, PictureFormat(320, 180, target_bytes=0)).jpeg(START)
    assert len(plain) < len(Scene("View1", 0, SMALL).jpeg(START))


def test_every_view_looks_from_elsewhere() -> None:
    images = [Scene("view", view, SMALL).image(START) for view in range(len(VIEWPOINTS))]
    for index, image in enumerate(images):
        for other in images[index + 1 :]:
            assert np.abs(image.astype(int) - other.astype(int)).mean() > 5.0


@pytest.mark.parametrize("view", range(len(VIEWPOINTS)))
def test_the_needle_moves_and_the_background_does_not(view: int) -> None:
    scene = Scene("view", view, SMALL)
    clear, inserted = scene.image(START), scene.image(START + 12.0)
    changed = np.any(clear != inserted, axis=2)[30:150]  # without label and clock
    assert 0.002 < changed.mean() < 0.3


def test_the_same_time_gives_the_same_picture() -> None:
    scene = Scene("view", 0, SMALL)
    np.testing.assert_array_equal(scene.image(START + 3.0), scene.image(START + 3.0))


def test_label_and_clock_are_drawn_in() -> None:
    scene, other = Scene("View1", 0, SMALL), Scene("View2", 0, SMALL)
    top = np.s_[:14, :]
    assert (scene.image(START)[top] != other.image(START)[top]).any()
    clock = np.s_[-14:, :160]
    assert (scene.image(START)[clock] != scene.image(START + 0.007)[clock]).any()


def test_the_jpeg_decodes_to_the_image() -> None:
    scene = Scene("view", 4, SMALL)
    decoded = cv2.imdecode(np.frombuffer(scene.jpeg(START), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.abs(decoded.astype(int) - scene.image(START).astype(int)).mean() < 12.0
