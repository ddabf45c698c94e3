from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from vla_inference_ros.model.interface import FrameError, View
from vla_inference_ros.model.picture import HEIGHT, WIDTH, decode, picture_size

Make = Callable[..., np.ndarray]


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 360), (1920, 1080), (320, 240)])
def test_every_size_and_form_gives_the_same_pixels(pixels: Make, width: int, height: int) -> None:
    rgb = pixels(1, width, height)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    from_array = decode(View("View1", 0.0, rgb))
    from_png = decode(View("View1", 0.0, cv2.imencode(".png", bgr)[1].tobytes()))
    from_jpeg = decode(View("View1", 0.0, cv2.imencode(".jpg", bgr)[1].tobytes()))
    assert from_array.shape == (HEIGHT, WIDTH, 3)
    assert from_array.dtype == np.uint8
    np.testing.assert_array_equal(from_png, from_array)
    assert np.abs(from_jpeg.astype(int) - from_array).mean() < 4


def test_channels_are_red_green_blue() -> None:
    bgr = np.zeros((720, 1280, 3), dtype=np.uint8)
    bgr[...] = (10, 100, 200)
    picture = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    mean = decode(View("View1", 0.0, picture)).mean(axis=(0, 1))
    np.testing.assert_allclose(mean, (200, 100, 10), atol=3)


def test_size_is_read_from_the_header(jpeg: Callable[..., bytes]) -> None:
    assert picture_size(View("View1", 0.0, jpeg(1, 800, 600))) == (800, 600)
    assert picture_size(View("View1", 0.0, np.zeros((4, 6, 3), dtype=np.uint8))) == (6, 4)


def broken_pictures() -> list[object]:
    whole = cv2.imencode(".jpg", np.zeros((720, 1280, 3), dtype=np.uint8))[1].tobytes()
    return [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a picture", id="text"),
        pytest.param(whole[: len(whole) // 2], id="cut short"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(64), id="PNG without content"),
        pytest.param(whole[:160] + bytes(300) + whole[-2:], id="JPEG without tables"),
        pytest.param(np.zeros((720, 1280), dtype=np.uint8), id="grey pixels"),
        pytest.param(np.zeros((720, 1280, 3), dtype=np.float32), id="float pixels"),
        pytest.param(np.zeros((0, 1280, 3), dtype=np.uint8), id="no pixels"),
    ]


@pytest.mark.parametrize("picture", broken_pictures())
def test_a_broken_picture_is_an_error_of_its_view(picture: bytes | np.ndarray) -> None:
    with pytest.raises(FrameError, match="View3") as caught:
        decode(View("View3", 0.0, picture))
    assert caught.value.view == "View3"
