"""The bench of the faults notes what its proxies hand on, and which of it a fault has damaged."""

from __future__ import annotations

from dataclasses import replace

import cv2
import marks
import numpy as np
import pytest
from truth import FOREIGN, UNREADABLE, Origin, Truth

from vla_inference_ros.core.wire import (
    ASCAN_LENGTH,
    SENSOR_RATE,
    CameraFrame,
    RobotPacket,
    SensorDatagram,
)
from vla_inference_ros.sim.faults import Faults
from vla_inference_ros.sim.formats import Packet
from vla_inference_ros.sim.senders import CAMERA_NAMES
from vla_inference_ros.sim.spoilt import DAMAGED, SpoiltContent

T = 1_700_000_000.0  # when it was taken [Unix s]
JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
CORRUPT, FROZEN = Faults(corrupt=1.0), Faults(frozen=True, frozen_stamps=False)


def frame(t: float) -> Packet:
    return CameraFrame(CAMERA_NAMES[1], t, JPEG, 8, 8, t + 0.01).pack()


def datagram(first: int, count: int = 15) -> Packet:
    times = T + np.arange(first, first + count) / SENSOR_RATE
    ascan = np.ones((count, ASCAN_LENGTH), np.float32)
    return [SensorDatagram(times, times + 0.01, ascan[:, 0], ascan).pack()]


def test_frames_are_numbered_by_view() -> None:
    truth = Truth()
    packets = [marks.marked_frame(frame(T + n), truth) for n in range(2)]
    assert [marks.frame_number(packet[1]) for packet in packets] == [1, 2]
    assert truth["View2"].origins == {1: Origin(T, T + 0.01), 2: Origin(T + 1, T + 1.01)}
    assert truth["View1"].origins == {}
    pixels = cv2.imdecode(np.frombuffer(packets[0][1], np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (8, 8, 3)


def test_a_picture_without_its_number_is_known_as_such() -> None:
    assert marks.frame_number(JPEG) is None
    assert Truth()["View1"].damaged == {UNREADABLE}


def test_a_frame_is_damaged_if_its_times_are_and_repeated_if_it_is_frozen() -> None:
    truth = Truth()
    marked = marks.marked_frame(frame(T), truth)
    moved = replace(CameraFrame.unpack(marked, 64), timestamp=T + 0.5, send_time=T + 0.51).pack()
    view = truth["View2"]
    marks.note_frame(marked, CORRUPT, truth)
    marks.note_frame(moved, Faults(clock_step=0.5), truth)
    assert (view.handed_on, view.damaged, view.repeated) == ({1}, {UNREADABLE}, set())
    marks.note_frame(moved, FROZEN, truth)
    marks.note_frame(moved, replace(CORRUPT, only="oak"), truth)
    assert (view.damaged, view.repeated) == ({UNREADABLE}, {1})
    marks.note_frame(moved, CORRUPT, truth)
    assert view.damaged == {UNREADABLE, 1}


@pytest.mark.parametrize("content", DAMAGED)
def test_a_picture_is_unusable_once_its_content_is_damaged(content: str) -> None:
    marked, truth = marks.marked_frame(frame(T), Truth()), Truth()
    marks.note_frame(marked, Faults(content=content, only="nobody's"), truth)
    assert not truth["View2"].unusable
    marks.note_frame(marked, Faults(content=content), truth)
    assert truth["View2"].unusable == {1}


def test_a_frame_is_damaged_if_its_cameras_name_is() -> None:
    truth = Truth()
    marked = CameraFrame.unpack(marks.marked_frame(frame(T), truth), 64)
    renamed = replace(marked, camera="zud_49429257_left")
    marks.note_frame(renamed.pack(), CORRUPT, truth)
    assert truth["View2"].damaged == {UNREADABLE, 1}


def test_a_robot_state_is_damaged_if_its_number_or_times_are() -> None:
    stream = Truth()["robot"]
    sent = RobotPacket(T, T + 0.01, 0.5, (0.0,) * 6, (0.0,) * 6)
    (first, second) = (marks.marked_state(sent.pack(), stream) for _ in range(2))
    assert RobotPacket.unpack(second).force == 2.0
    marks.note_state(first, CORRUPT, stream)
    assert stream.damaged == {UNREADABLE}
    marks.note_state(replace(sent, force=2.0, origin_time=T - 1).pack(), CORRUPT, stream)
    marks.note_state(replace(sent, force=1.5).pack(), CORRUPT, stream)
    assert stream.damaged == {UNREADABLE, 2.0, 1.5}


def test_samples_are_numbered_by_slot() -> None:
    stream = Truth()["sensor"]
    (packet,) = marks.marked_samples(datagram(30), T, stream)
    force = SensorDatagram.unpack(packet).force.copy()
    assert list(stream.origins) == marks.sample_numbers(force) == list(range(30, 45))
    force[4] = -1e30
    assert marks.sample_numbers(force) == list(range(30, 45))


def test_a_datagram_is_damaged_if_a_time_in_it_is() -> None:
    stream = Truth()["sensor"]
    (packet,) = marks.marked_samples(datagram(30), T, stream)
    good = SensorDatagram.unpack(packet)
    marks.note_samples([packet], CORRUPT, stream)
    assert stream.handed_on == set(range(30, 45))
    assert stream.damaged == {UNREADABLE}
    times = good.times.copy()
    times[0] -= 0.01
    marks.note_samples([replace(good, times=times).pack()], CORRUPT, stream)
    assert stream.damaged == {UNREADABLE, *range(30, 45)}


def test_samples_of_a_constant_sensor_are_handed_on_in_their_own_slots_and_not_believed() -> None:
    stream = Truth()["sensor"]
    (packet,) = marks.marked_samples(datagram(30), T, stream)
    constant = SpoiltContent("constant").spoil([packet])
    force = np.full(15, 7, np.float32)  # the number of an earlier sample
    repeated = replace(SensorDatagram.unpack(constant[0]), force=force)
    marks.note_samples([repeated.pack()], Faults(content="constant"), stream)
    assert stream.handed_on >= set(range(30, 45))
    assert stream.damaged >= {UNREADABLE, 7, *range(30, 45)}


def test_what_a_second_sender_sends_is_known_as_such() -> None:
    assert marks.frame_number(marks.marked_jpeg(JPEG, marks.FOREIGN_FRAME)) == FOREIGN
    assert marks.sample_numbers(marks.foreign_force(3)) == [FOREIGN] * 3
