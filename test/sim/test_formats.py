import json
import math

import cv2
import numpy as np
import pytest

from vla_inference_ros.core.wire import (
    ASCAN_LENGTH,
    RobotPacket,
    SensorDatagram,
    WireError,
)
from vla_inference_ros.sim.formats import (
    CameraFormat,
    Format,
    Packet,
    RobotFormat,
    SensorFormat,
)

T = 1_700_000_000.25
JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
HEADER = {"camera": "oak", "timestamp": T, "gain": 3, "send_time": T + 0.5, "size": len(JPEG)}
FORMATS: list[Format] = [CameraFormat(), RobotFormat(), SensorFormat()]


def camera(**changes: object) -> Packet:
    header = {key: value for key, value in (HEADER | changes).items() if value is not None}
    return [json.dumps(header).encode(), JPEG, b"depth"]


def robot() -> Packet:
    return RobotPacket(T, T + 0.5, 1.5, tuple(map(float, range(6))), (0.1,) * 6).pack()


def sensor(count: int) -> Packet:
    times, rows = T + np.arange(count, dtype=np.float64), np.arange(count, dtype=np.float32)
    ascan = np.repeat(rows[:, None], ASCAN_LENGTH, axis=1) + np.float32(0.1)
    return [SensorDatagram(times, times + 50.0, rows, ascan).pack()]


def test_a_camera_has_one_time_of_each_kind_and_other_ones_leave_the_rest_alone() -> None:
    form = CameraFormat()
    times = form.times(camera())
    np.testing.assert_array_equal(times, [[T], [T + 0.5]])
    header, *rest = form.with_times(camera(), times + 7.0)
    assert json.loads(header) == HEADER | {"timestamp": T + 7.0, "send_time": T + 7.5}
    assert rest == [JPEG, b"depth"]


def test_a_camera_may_have_no_time_of_sending() -> None:
    form = CameraFormat()
    times = form.times(camera(send_time=None))
    assert times[0, 0] == T
    assert math.isnan(times[1, 0])
    header, *_ = form.with_times(camera(), times + 7.0)
    assert json.loads(header)["timestamp"] == T + 7.0
    assert "send_time" not in json.loads(header)


@pytest.mark.parametrize("header", [b"", b"\xff", b"3", b"{}", b'{"camera": 3}', b"[" * 100_000])
def test_a_camera_that_cannot_be_read_has_no_name(header: bytes) -> None:
    assert CameraFormat().source([header, JPEG]) == ""


def test_only_cameras_have_names() -> None:
    assert CameraFormat().source(camera()) == "oak"
    assert RobotFormat().source(robot()) == SensorFormat().source(sensor(1)) == ""


def test_the_robots_times_are_replaced_and_nothing_else() -> None:
    form = RobotFormat()
    times = form.times(robot())
    np.testing.assert_array_equal(times, [[T], [T + 0.5]])
    topic, state = form.with_times(robot(), times - 7.0)
    assert topic == robot()[0]
    assert state[16:] == robot()[1][16:]
    moved = RobotPacket.unpack([topic, state])
    assert (moved.origin_time, moved.send_time) == (T - 7.0, T - 6.5)


def test_all_times_of_a_datagram_are_replaced_and_nothing_else() -> None:
    form = SensorFormat()
    times = form.times(sensor(3))
    np.testing.assert_array_equal(times, [T + np.arange(3), T + 50.0 + np.arange(3)])
    (data,) = form.with_times(sensor(3), times + 7.0)
    before, after = SensorDatagram.unpack(sensor(3)[0]), SensorDatagram.unpack(data)
    np.testing.assert_array_equal([after.times, after.send_times], times + 7.0)
    assert after.force.tobytes() == before.force.tobytes()
    assert after.ascan.tobytes() == before.ascan.tobytes()


@pytest.mark.parametrize(("count", "rows"), [(2, [0, 1]), (5, [0, 1, 2, 0, 1])])
def test_a_datagram_has_as_many_samples_as_times(count: int, rows: list[int]) -> None:
    times = SensorFormat().times(sensor(count))
    after = SensorDatagram.unpack(SensorFormat().with_times(sensor(3), times)[0])
    np.testing.assert_array_equal([after.times, after.send_times], times)
    np.testing.assert_array_equal(after.force, rows)
    np.testing.assert_allclose(after.ascan[:, -1], np.array(rows) + 0.1, rtol=1e-6)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_what_cannot_be_read_is_said(form: Format) -> None:
    with pytest.raises(WireError):
        form.times([b"junk", b"junk"])
    with pytest.raises(WireError):
        form.times([b""])
