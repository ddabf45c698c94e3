from __future__ import annotations

import math
from array import array
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from vla_inference_ros import convert
from vla_inference_ros.core.wire import CameraFrame, WireError

NOW = 1_700_000_000.25
JPEG = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()


def over_the_wire(message: Any) -> Any:
    """What a subscriber gets."""
    return deserialize_message(serialize_message(message), type(message))


OFFSETS = [0.0, -3600.5, 1e7]
IMPOSSIBLE_OFFSETS = [5e8, -8e8, math.nan]


def frame(timestamp: float = NOW) -> CameraFrame:
    return CameraFrame("zed_41182735_left", timestamp, JPEG, 64, 48, timestamp + 0.02)


@pytest.mark.parametrize("offset", OFFSETS)
def test_compressed_image_is_the_jpeg_as_received_with_a_stamp_of_ours(offset: float) -> None:
    message = over_the_wire(convert.compressed_image(frame(), offset, "view1"))
    assert message == CompressedImage(
        header=convert.header(NOW + offset, "view1"), format="jpeg", data=array("B", JPEG)
    )


@pytest.mark.parametrize("offset", IMPOSSIBLE_OFFSETS)
def test_an_offset_that_gives_an_image_an_impossible_time_is_an_error_of_the_wire(
    offset: float,
) -> None:
    with pytest.raises(WireError, match="was a clock set") as caught:
        convert.compressed_image(frame(), offset, "view1")
    assert caught.value.kind == "bad time"
    assert f"{NOW:.3f}, with the clock offset of {offset:+.3f} s" in str(caught.value)


PIXELS = np.random.default_rng(2).integers(0, 256, (4, 5, 3), dtype=np.uint8)  # RGB


def raw_image(pixels: NDArray[np.uint8], encoding: str, padding: int = 0, rest: int = 0) -> Image:
    """Rows with ``padding`` bytes behind each and ``rest`` bytes behind them all."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=padded.shape[1],
        data=array("B", padded.tobytes() + bytes(rest)),
    )


@pytest.mark.parametrize("padding", [0, 1, 17])
@pytest.mark.parametrize("rest", [0, 7])
def test_raw_images_are_read_whatever_their_encoding_and_padding(padding: int, rest: int) -> None:
    rgb = convert.rgb_pixels(raw_image(PIXELS, "rgb8", padding, rest))
    bgr = convert.rgb_pixels(raw_image(PIXELS[:, :, ::-1], "bgr8", padding, rest))
    mono = convert.rgb_pixels(raw_image(PIXELS[:, :, 0], "mono8", padding, rest))
    np.testing.assert_array_equal(rgb, PIXELS)
    np.testing.assert_array_equal(bgr, PIXELS)
    np.testing.assert_array_equal(mono, PIXELS[:, :, [0, 0, 0]])
    assert rgb.dtype == bgr.dtype == mono.dtype == np.uint8


def test_an_image_of_ours_is_read_back() -> None:
    stamp = convert.header(NOW, "view1")
    message = over_the_wire(convert.image(PIXELS[:, :, ::-1], stamp))
    assert message.header == stamp
    assert (message.encoding, message.width, message.height) == ("bgr8", 5, 4)
    np.testing.assert_array_equal(convert.rgb_pixels(message), PIXELS)


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 5},
        {"width": 6},
        {"width": 2**32 - 1, "step": 2**32 - 1},
        {"height": 2**32 - 1},
        {"step": 14},
        {"step": 16},
        {"step": 0},
        {"width": 0},
        {"data": array("B")},
    ],
    ids=str,
)
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_a_raw_image_that_does_not_hold_its_size_is_refused(
    encoding: str, changes: dict[str, Any]
) -> None:
    message = raw_image(PIXELS, encoding)
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match=r"raw image of \d+ bytes does not hold"):
        convert.rgb_pixels(message)


@pytest.mark.parametrize("has_cv_bridge", [False, True])
def test_what_drivers_send_needs_no_cv_bridge(
    has_cv_bridge: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixel values of all encodings are in core/test_raw_picture.py."""
    monkeypatch.setattr(convert, "CvBridge", FakeCvBridge if has_cv_bridge else None)
    alpha = PIXELS[:, :, :1]
    for encoding, pixels in {
        "rgba8": np.dstack([PIXELS, alpha]),
        "bgra8": np.dstack([PIXELS[:, :, ::-1], alpha]),
        "8UC3": PIXELS[:, :, ::-1],
    }.items():
        message = over_the_wire(raw_image(pixels, encoding, padding=5))
        np.testing.assert_array_equal(convert.rgb_pixels(message), PIXELS)


def test_the_order_of_bytes_is_the_messages() -> None:
    grey = PIXELS[:, :, 0].astype(np.uint16) * 257
    for is_bigendian, order in ((0, "<u2"), (1, ">u2")):
        message = raw_image(grey.astype(order).view(np.uint8), "mono16")
        message.width, message.is_bigendian = 5, is_bigendian
        found = convert.rgb_pixels(over_the_wire(message))
        np.testing.assert_array_equal(found, PIXELS[:, :, [0, 0, 0]])


@pytest.mark.parametrize("encoding", ["32FC1", "", "RGB8"])
def test_other_encodings_are_named_with_a_remedy(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "CvBridge", None)
    with pytest.raises(ValueError, match=f"encoding '{encoding}' is not read. Have the driver"):
        convert.rgb_pixels(raw_image(PIXELS[:, :, 0], encoding))


class FakeCvBridge:
    """Stands in for cv_bridge, which raises a TypeError of its own for what it cannot read."""

    def imgmsg_to_cv2(self, message: Image, desired_encoding: str) -> NDArray[np.uint8]:
        if message.encoding != "nv24":
            raise TypeError("Unrecognized image encoding")
        assert desired_encoding == "rgb8"
        return np.frombuffer(message.data, np.uint8).reshape(4, 5, 3)


def test_cv_bridge_is_asked_for_others_where_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "CvBridge", FakeCvBridge)
    np.testing.assert_array_equal(convert.rgb_pixels(raw_image(PIXELS, "nv24")), PIXELS)
    with pytest.raises(ValueError, match=r"cannot read a raw image of 5x4 'yuv9': Unrec.*Have"):
        convert.rgb_pixels(raw_image(PIXELS, "yuv9"))
