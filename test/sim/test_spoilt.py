"""Each content that a stream can be given is what its name says, and its times go on."""

from __future__ import annotations

import numpy as np
import pytest
from fault_lines import CAMERA, SENSOR, line, sent

from vla_inference_ros.core.liveness import Look
from vla_inference_ros.core.pictures import decode
from vla_inference_ros.core.wire import CameraFrame, SensorDatagram
from vla_inference_ros.sim.faults import Faults
from vla_inference_ros.sim.formats import Packet
from vla_inference_ros.sim.oct_scan import oct_samples
from vla_inference_ros.sim.scene import PictureFormat, Scene
from vla_inference_ros.sim.spoilt import CAMERA_CONTENTS, DAMAGED, OWN

T = 1_700_000_000.25
SCENES = [Scene(f"View{view}", view, PictureFormat(320, 180)) for view in range(2)]
COUNT = 6


def frames(view: int = 0, count: int = COUNT) -> list[Packet]:
    times = [T + n / 10 for n in range(count)]
    return [CameraFrame(f"oak_{view}", t, SCENES[view].jpeg(t), 320, 180, t).pack() for t in times]


def spoilt(content: str, *packets: Packet, only: str = "") -> list[CameraFrame]:
    through = line(CAMERA, content=content, only=only)
    came = [CameraFrame.unpack(packet, 1 << 20) for packet in sent(through, packets)]
    assert through.counts.spoilt == len([packet for packet in packets if only in str(packet[0])])
    return came


def looks(frames: list[CameraFrame]) -> list[Look]:
    return [Look.of(f.timestamp, decode(f.jpeg, "GRAY").pixels) for f in frames]


@pytest.mark.parametrize("content", sorted({*CAMERA_CONTENTS} - {OWN, "endless", "twin", "loop"}))
def test_the_times_go_on(content: str) -> None:
    given = frames()
    came = spoilt(content, *given)
    assert [f.timestamp for f in came] == [T + n / 10 for n in range(COUNT)]
    own = [CameraFrame.unpack(packet, 1 << 20).jpeg for packet in given]
    assert [f.jpeg for f in came[1:]] != own[1:]


def test_a_frozen_picture_has_the_same_pixels_in_other_bytes() -> None:
    came = spoilt("frozen", *frames())
    assert len({f.jpeg for f in came}) == COUNT
    assert len({look.digest for look in looks(came)}) == 1


@pytest.mark.parametrize(("content", "size"), [("ring", 2), ("loop", 12)])
def test_a_ring_is_of_the_first_pictures_in_their_order(content: str, size: int) -> None:
    given = frames(count=3 * size)
    own = [CameraFrame.unpack(packet, 1 << 20).jpeg for packet in given]
    assert [frame.jpeg for frame in spoilt(content, *given)] == 3 * own[:size]


def test_a_covered_lens_shows_noise_that_lives() -> None:
    found = looks(spoilt("blank", *frames()))
    assert all(look.is_blank for look in found)
    assert len({look.digest for look in found}) == COUNT


def test_all_cameras_show_the_first_ones_picture() -> None:
    pairs = [each for pair in zip(frames(0), frames(1), strict=True) for each in pair]
    found = looks(spoilt("twin", *pairs))
    for one, other in zip(found[::2], found[1::2], strict=True):
        assert one.digest == other.digest
    assert len({look.digest for look in found}) > 1


@pytest.mark.parametrize("content", DAMAGED)
def test_damage_leaves_the_markers_whole(content: str) -> None:
    for frame in spoilt(content, *frames()):  # which the wire format's checks have let pass
        with pytest.raises(ValueError, match="the JPEG is damaged"):
            decode(frame.jpeg)


def test_others_than_the_one_camera_are_left_alone() -> None:
    other = frames(1)
    assert [frame.pack() for frame in spoilt("cut", *other, only="oak_0")] == other


def test_a_constant_sensor_repeats_its_first_sample() -> None:
    times = [T + (n + np.arange(4)) / 650 for n in range(0, 12, 4)]
    packets = [[SensorDatagram(t, t, *oct_samples(t)).pack()] for t in times]
    came = [SensorDatagram.unpack(p[0]) for p in sent(line(SENSOR, content="constant"), packets)]
    np.testing.assert_array_equal(np.concatenate([d.times for d in came]), np.concatenate(times))
    ascan = np.concatenate([d.ascan for d in came])
    np.testing.assert_array_equal(ascan, np.repeat(ascan[:1], len(ascan), axis=0))
    assert len(set(np.concatenate([d.force for d in came]).tolist())) == 1


def test_a_content_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="content is 'upside down', not one of own, frozen"):
        Faults(content="upside down")
