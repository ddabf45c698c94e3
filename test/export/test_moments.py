"""What a frame of a dataset is put together from: nothing that came after its chunk."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from fake_recording import CAMERA_RATE, DELAY, RATE, START, FakeRecording, picture

from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.export.moments import Moment, Moments
from vla_inference_ros.export.walk import walk
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.recording.recording import Recording, Result
from vla_inference_ros.recording.traffic import Received


def moments(recording: Recording, instruction: str = "default") -> tuple[list[Moment], Moments]:
    found = Moments((item for _, item in walk(recording)), VIEWS, instruction)
    return list(found), found


def test_each_has_the_newest_that_had_come_by_its_time() -> None:
    fake = FakeRecording()
    found, kept = moments(fake)
    assert not kept.left_out
    assert len(found) == len(fake.chunk_numbers())
    for number, moment in enumerate(found):
        t = fake.chunk_time(number)
        assert moment.chunk.time == t
        pictures = [each for each in fake.frames() if each.received <= t]
        newest = pictures[-1]
        for view in VIEWS:
            assert moment.pictures[view].packet.jpeg == newest.packet.jpeg
            assert t - moment.pictures[view].received < 1 / CAMERA_RATE + 1e-6
        state = [each for each in fake.states() if each.received <= t][-1]
        assert moment.state.packet == state.packet
        samples = [each for each in fake.samples() if each.received <= t][-1]
        assert moment.force == samples.packet.force[-1]


def test_a_picture_that_comes_later_is_not_used_though_it_was_taken_before() -> None:
    class Late(FakeRecording):
        def frames(self) -> Iterator[Received[CameraFrame]]:
            for each in super().frames():
                yield Received(each.packet, each.clock_offset, each.received + 0.5, each.view)

    found, kept = moments(Late())
    assert found[0].pictures["View1"].packet.jpeg == picture(0)
    assert kept.left_out == {f"before the first picture of {', '.join(VIEWS)}": 1}


def test_the_instruction_is_that_of_the_chunks_update() -> None:
    fake = FakeRecording(seconds=4, instructions=("one", "two", "three"))
    said = {update.update_id: update.instruction for update in fake.features()}
    found, _ = moments(fake)
    assert {moment.instruction for moment in found} == {"one", "two", "three"}
    for moment in found:
        assert moment.instruction == said[moment.chunk.result["vl_update_number"]]


def test_without_updates_it_is_the_given_one() -> None:
    found, _ = moments(FakeRecording(instructions=()), "given")
    assert {moment.instruction for moment in found} == {"given"}


@pytest.mark.parametrize(
    ("silent", "reason"),
    [
        ("frames", f"before the first picture of {', '.join(VIEWS)}"),
        ("states", "before the first robot state"),
        ("samples", "before the first sensor sample"),
    ],
)
def test_what_is_incomplete_is_counted(silent: str, reason: str) -> None:
    fake = FakeRecording()
    setattr(fake, silent, lambda: iter(()))
    found, kept = moments(fake)
    assert not found
    assert kept.left_out == {reason: len(fake.chunk_numbers())}


def test_a_picture_of_another_size_is_counted() -> None:
    class Changed(FakeRecording):
        def frames(self) -> Iterator[Received[CameraFrame]]:
            for each in super().frames():
                packet = each.packet
                if each.view == "View2" and each.received > START + 2 + DELAY / 2:
                    packet = CameraFrame("other", packet.timestamp, packet.jpeg, 32, 24)
                yield Received(packet, each.clock_offset, each.received, each.view)

    found, kept = moments(Changed())
    (left_out,) = kept.left_out.items()
    assert left_out == ("a picture of View2 is not of the others' size", 9)
    assert len(found) == 25 - 9


def test_a_chunk_for_an_earlier_time_is_counted() -> None:
    class Stepped(FakeRecording):
        def results(self) -> Iterator[Result]:
            for number, result in enumerate(super().results()):
                yield result | {"timestamp": result["timestamp"] - (0.55 if number > 9 else 0)}

    found, kept = moments(Stepped())
    assert kept.left_out == {"not later than one before: was this host's clock set?": 5}
    times = [moment.chunk.time for moment in found]
    assert times == sorted(times)
    assert len(found) == 20
    assert min(b - a for a, b in pairwise(times)) > 0.4 / RATE
