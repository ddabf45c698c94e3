"""The layouts are packed here by hand, field by field, from the senders' descriptions."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
from wire_cases import BAD_TIMES, GOOD_TIMES, NOW, refused

from vla_inference_ros.core import wire
from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram, WireError

MAX_PIXELS = 16_000_000
JPEG = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()


def test_the_rigs_numbers() -> None:
    assert (wire.CAMERA_PORT, wire.ROBOT_PORT, wire.SENSOR_PORT) == (5555, 5556, 9999)
    assert (wire.ASCAN_LENGTH, wire.SENSOR_CHANNELS, wire.SENSOR_RATE) == (1025, 1026, 650.0)
    assert (RobotPacket.SIZE, SensorDatagram.SAMPLE_SIZE) == (68, 4120)
    assert wire.ROBOT_TOPIC == b"robot_state"


def test_no_more_samples_fit_into_a_datagram() -> None:
    largest_udp_payload = 65_507
    most = wire.MAX_SAMPLES_PER_DATAGRAM
    assert most == 15
    assert 4 + 4120 * most <= largest_udp_payload < 4 + 4120 * (most + 1)


def test_a_wire_error_can_be_caught_as_a_value_error() -> None:
    error = WireError("bad time", "the message")
    assert (isinstance(error, ValueError), error.kind, str(error)) == (
        True,
        "bad time",
        "the message",
    )


# --- camera


def camera(header: Any = None, jpeg: bytes = JPEG, **fields: Any) -> CameraFrame:
    """Unpacks a message; ``fields`` replace those of a good header, None takes one away."""
    if header is None:
        good = {"camera": "oak_CAM_A", "timestamp": NOW, "size": len(jpeg), "send_time": NOW + 0.01}
        header = {key: value for key, value in (good | fields).items() if value is not None}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return CameraFrame.unpack([text, jpeg], MAX_PIXELS)


def test_camera_message() -> None:
    frame = camera()
    assert frame == CameraFrame("oak_CAM_A", NOW, JPEG, 64, 48, NOW + 0.01)
    assert frame.jpeg is JPEG


def test_camera_packs_what_senders_send() -> None:
    header, jpeg = CameraFrame("OAK", NOW, JPEG, 64, 48, NOW + 0.01).pack()
    assert jpeg == JPEG
    assert json.loads(header) == {
        "camera": "OAK",
        "timestamp": NOW,
        "size": len(JPEG),
        "send_time": NOW + 0.01,
    }
    assert "send_time" not in json.loads(CameraFrame("OAK", NOW, JPEG, 64, 48).pack()[0])


def test_camera_header_may_be_short_or_hold_more() -> None:
    assert camera({"camera": "OAK", "timestamp": NOW}).send_time is None
    assert camera(send_time=None).send_time is None
    assert (
        camera(b'{"camera": "OAK", "timestamp": 1700000000, "send_time": null}').send_time is None
    )
    assert camera(gain=[1, {"deep": "x"}]).camera == "oak_CAM_A"
    assert camera(camera="zed_é_左").camera == "zed_é_左"
    assert camera('{"camera": "é", "timestamp": 1.7e9}'.encode()).camera == "é"


def test_camera_extra_parts_are_ignored() -> None:
    parts = [*CameraFrame("OAK", NOW, JPEG, 64, 48).pack(), b"depth", b"\xff"]
    assert CameraFrame.unpack(parts, MAX_PIXELS).jpeg == JPEG


@pytest.mark.parametrize("parts", [[], [b""], [b'{"camera": "OAK", "timestamp": 1.7e9}']])
def test_camera_part_count(parts: list[bytes]) -> None:
    with refused("part count", f"has {len(parts)} part"):
        CameraFrame.unpack(parts, MAX_PIXELS)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x00",
        b"not JSON",
        b'{"camera": "OAK", "timestamp": 1.7e9',
        b'{"camera": "\xff\xfe", "timestamp": 1.7e9}',
        b'{"camera": "OAK", "timestamp": ' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"camera": ' * 5_000,
        b'{"camera": "OAK", "timestamp": ' + b"[" * 60_000,
    ],
    ids=lambda header: repr(header[:40]),
)
def test_camera_header_that_is_no_json(header: bytes) -> None:
    with refused("bad JSON", "not UTF-8 JSON"):
        camera(header)


@pytest.mark.parametrize(
    "header",
    [[], ["camera"], "camera", 5, True, b"null", {}, {"timestamp": NOW}, {"Camera": "OAK"}],
)
def test_camera_header_without_a_name(header: Any) -> None:
    with refused("bad JSON", "lacks a 'camera' name"):
        camera(header)


def test_camera_header_over_its_limit_is_refused_unread() -> None:
    longest = wire.MAX_HEADER_BYTES
    header = json.dumps({"camera": "OAK", "timestamp": NOW}).encode()
    assert camera(header + b" " * (longest - len(header))).camera == "OAK"
    with refused("header too large", f"header is {longest + 1} bytes, over {longest}"):
        camera(b"\xff" * (longest + 1))


@pytest.mark.parametrize("name", [5, False, ["OAK"], {"name": "OAK"}])
def test_camera_name_that_is_no_text(name: Any) -> None:
    with refused("bad JSON", "lacks a 'camera' name"):
        camera(camera=name)


@pytest.mark.parametrize("key", ["timestamp", "send_time"])
@pytest.mark.parametrize("value", ["1700000000.25", True, False, [NOW], {"sec": 1}, ""])
def test_camera_time_that_is_no_number(key: str, value: Any) -> None:
    with refused("bad JSON", f"'{key}' is .*, not a number"):
        camera(**{key: value})


def test_camera_without_a_timestamp() -> None:
    with refused("bad JSON", "'timestamp' is None, not a number"):
        camera(timestamp=None)


@pytest.mark.parametrize("key", ["timestamp", "send_time"])
@pytest.mark.parametrize("value", [*BAD_TIMES, 10**400, -(10**400), 1_700_000_000_250], ids=str)
def test_camera_time_that_cannot_be(key: str, value: float) -> None:
    change: dict[str, Any] = {key: value}
    with refused("bad time", f"camera {key} .* is not a Unix time in seconds"):
        camera(**change)


@pytest.mark.parametrize("time", [*GOOD_TIMES, 1_700_000_000])
def test_camera_time_that_can_be(time: float) -> None:
    frame = camera(timestamp=time, send_time=time)
    assert frame.timestamp == frame.send_time == time
    assert isinstance(frame.timestamp, float)


@pytest.mark.parametrize("age", [-0.09, 0.0, 59.9])
def test_camera_age_that_can_be(age: float) -> None:
    assert camera(send_time=NOW + age).send_time == NOW + age


@pytest.mark.parametrize(("age", "when"), [(-0.11, "before"), (60.1, "after"), (1e6, "after")])
def test_camera_frames_are_sent_when_they_are_new(age: float, when: str) -> None:
    with refused("bad time", f"frame of 'oak_CAM_A' was sent .* s {when} its acquisition"):
        camera(send_time=NOW + age)


@pytest.mark.parametrize("jpeg", [b"", b"GIF89a", JPEG[:-2], JPEG[: len(JPEG) // 2], JPEG[1:]])
def test_camera_jpeg_that_is_none(jpeg: bytes) -> None:
    with refused("bad JPEG", "frame of 'oak_CAM_A': "):
        camera(jpeg=jpeg)


def test_camera_jpeg_of_absurd_size_is_refused_undecoded() -> None:
    at = JPEG.index(b"\xff\xc0") + 5
    absurd = JPEG[:at] + b"\xff\xff\xff\xff" + JPEG[at + 4 :]
    with refused("JPEG too large", "'oak_CAM_A' is 65535x65535, over the limit of 16000000"):
        camera(jpeg=absurd)


def test_camera_sides_are_the_jpegs_if_the_header_says_them() -> None:
    assert camera(width=64, height=48).width == 64
    assert camera(width=64.0).height == 48
    assert camera(b'{"camera": "OAK", "timestamp": 1.7e9, "width": null}').width == 64


@pytest.mark.parametrize(("width", "height"), [(48, 64), (192, 16), (32, 96), (63, 47)])
def test_a_jpeg_of_other_sides_and_as_many_blocks_is_refused(width: int, height: int) -> None:
    at = JPEG.index(b"\xff\xc0") + 5
    damaged = JPEG[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + JPEG[at + 4 :]
    assert camera(jpeg=damaged).width == width  # nothing else tells it
    with refused("bad JPEG", f"its JPEG's width is {width}, but the camera header says 64"):
        camera(jpeg=damaged, width=64, height=48)
    with refused("bad JPEG", f"its JPEG's height is {height}, but the camera header says 48"):
        camera(jpeg=damaged, height=48)


@pytest.mark.parametrize("width", ["64", True, [64], {}])
def test_camera_sides_are_numbers(width: object) -> None:
    with refused("bad JSON", "'width' is .*, not a number"):
        camera(width=width)


@pytest.mark.parametrize("width", [0, -64, 64.5, 10**400, float("nan"), float("inf")])
def test_camera_sides_that_no_jpeg_has_are_refused(width: float) -> None:
    with refused("bad JPEG", "its JPEG's width is 64"):
        camera(width=width)


def test_camera_limit_is_inclusive() -> None:
    parts = CameraFrame("OAK", NOW, JPEG, 64, 48).pack()
    assert CameraFrame.unpack(parts, 64 * 48).width == 64
    with refused("JPEG too large"):
        CameraFrame.unpack(parts, 64 * 48 - 1)


@pytest.mark.parametrize(
    ("fields", "jpeg"),
    [
        ({"camera": "x" * 60_000}, b"GIF"),
        ({"gain": "x" * 100_000}, JPEG),
        ({"camera": "\ud800\n"}, b"GIF"),
        ({"timestamp": "x" * 60_000}, JPEG),
        ({"timestamp": [NOW] * 3_000}, JPEG),
        ({"timestamp": int("9" * 4000)}, JPEG),
        ({"camera": ["x" * 60_000]}, JPEG),
    ],
)
def test_camera_errors_fit_into_a_log_line(fields: dict[str, Any], jpeg: bytes) -> None:
    with pytest.raises(WireError) as caught:
        camera(jpeg=jpeg, **fields)
    assert len(str(caught.value).encode()) < 500
    assert "\n" not in str(caught.value)
