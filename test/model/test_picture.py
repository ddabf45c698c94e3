from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import simplejpeg

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
    png = cv2.imencode(".png", np.zeros((7, 9, 3), dtype=np.uint8))[1].tobytes()
    assert picture_size(View("View1", 0.0, png)) == (9, 7)
    assert picture_size(View("View1", 0.0, np.zeros((4, 6, 3), dtype=np.uint8))) == (6, 4)


PNG = cv2.imencode(".png", np.zeros((7, 9, 3), dtype=np.uint8))[1].tobytes()


def sized_png(width: int, height: int) -> bytes:
    """A small PNG that says it has this size."""
    return PNG[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + PNG[24:]


def sized_jpeg(width: int, height: int) -> bytes:
    whole = cv2.imencode(".jpg", np.zeros((8, 8, 3), dtype=np.uint8))[1].tobytes()
    at = whole.index(b"\xff\xc0") + 5
    return whole[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + whole[at + 4 :]


@pytest.mark.parametrize("make", [sized_png, sized_jpeg])
def test_a_picture_that_says_it_is_huge_is_refused_undecoded(
    make: Callable[[int, int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert picture_size(View("View1", 0.0, make(10_000, 10_000))) == (10_000, 10_000)
    decoded: list[object] = []
    monkeypatch.setattr(cv2, "imdecode", lambda *given: decoded.append(given))
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *given, **_: decoded.append(given))
    with pytest.raises(FrameError, match=r"View3.* is 10001x10000, over the limit of 100000000"):
        decode(View("View3", 0.0, make(10_001, 10_000)))
    assert not decoded


def broken_pictures() -> list[object]:
    whole = cv2.imencode(".jpg", np.zeros((720, 1280, 3), dtype=np.uint8))[1].tobytes()
    return [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a picture", id="text"),
        pytest.param(whole[: len(whole) // 2], id="cut short"),
        pytest.param(PNG[:8], id="PNG without a header"),
        pytest.param(PNG[:23], id="PNG cut short in its header"),
        pytest.param(PNG[:33], id="PNG without content"),
        pytest.param(PNG[:8] + bytes(64), id="PNG with a broken header"),
        pytest.param(PNG[:12] + b"IDAT" + PNG[16:], id="PNG that begins with data"),
        pytest.param(sized_png(0, 7), id="PNG without a column"),
        pytest.param(sized_png(9, 0), id="PNG without a row"),
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
