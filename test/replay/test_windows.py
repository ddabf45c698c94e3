"""The windows of recorded chunks are bit for bit those that the action expert had."""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from replayed import SKEW, START, action_chunk, published_at, sensor_batch

from vla_inference_ros import convert
from vla_inference_ros.core.window import FILLS, SensorWindow
from vla_inference_ros.core.wire import SENSOR_CHANNELS, SENSOR_RATE, SensorDatagram
from vla_inference_ros.model.interface import SENSOR_WINDOW, ActionSteps
from vla_inference_ros.msg import SensorBatch
from vla_inference_ros.nodes.chunk import put_steps
from vla_inference_ros.recording.messages import result_of, sensor_datagram
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.replay.lineage import NotRecordedError, RecordedChunk, recorded_chunk
from vla_inference_ros.replay.windows import RecordedSamples

BATCHES = 60
NO_STEPS = np.zeros((8, 7), np.float32)
Arrival = tuple[float, SensorBatch]


class Expert:
    """Has the window as the node has it, and tells what it would compute a chunk from."""

    def __init__(self, fill: str = "zero") -> None:
        self.fill = fill
        self._window = SensorWindow(SENSOR_WINDOW, SENSOR_CHANNELS, SENSOR_RATE, fill)

    def take(self, batch: SensorBatch) -> None:
        self._window.append(*convert.sensor_arrays(batch), batch.clock_offset)

    def act(self, stamp: float) -> tuple[RecordedChunk, NDArray[np.float32]]:
        message, values = action_chunk(self._window, stamp, self.fill)
        put_steps(message, ActionSteps(NO_STEPS, NO_STEPS))
        return recorded_chunk(result_of(message)), values


def recorded(arrivals: Sequence[Arrival]) -> Iterator[Received[SensorDatagram]]:
    """As a bag gives them."""
    return (sensor_datagram(batch, time) for time, batch in arrivals)


def chunks_of(
    arrivals: Sequence[Arrival], fill: str = "zero"
) -> list[tuple[RecordedChunk, NDArray[np.float32]]]:
    """Chunks at each tenth of a second, from all that had come by then."""
    expert, left, chunks = Expert(fill), list(arrivals), []
    for tick in np.arange(START + 0.35, arrivals[-1][0], 0.1):
        while left and left[0][0] <= tick:
            expert.take(left.pop(0)[1])
        chunks.append(expert.act(float(tick)))
    assert len(chunks) >= 8
    return chunks


def assert_found(arrivals: Sequence[Arrival], fill: str = "zero") -> None:
    samples = RecordedSamples(recorded(arrivals))
    for chunk, values in chunks_of(arrivals, fill):
        np.testing.assert_array_equal(samples.window(chunk), values)


def on_time(batches: Sequence[SensorBatch]) -> list[Arrival]:
    return [(published_at(batch), batch) for batch in batches]


@pytest.fixture(scope="module")
def plain() -> list[Arrival]:
    return on_time([sensor_batch(number) for number in range(BATCHES)])


def test_of_all_samples(plain: list[Arrival]) -> None:
    assert_found(plain)


@pytest.mark.parametrize("fill", FILLS)
def test_with_lost_datagrams(plain: list[Arrival], fill: str) -> None:
    kept = [arrival for number, arrival in enumerate(plain) if number % 4]
    assert not chunks_of(kept, fill)[3][0].mask.all()
    assert_found(kept, fill)


@pytest.mark.parametrize("fill", FILLS)
def test_with_datagrams_that_are_late_or_come_twice(plain: list[Arrival], fill: str) -> None:
    draw = random.Random(3)
    late = [(time + draw.choice((0.0, 0.0, 0.03, 0.08)), batch) for time, batch in plain]
    twice = [(time + 0.011, batch) for time, batch in late if draw.random() < 0.2]
    assert_found(sorted(late + twice, key=lambda arrival: arrival[0]), fill)


def test_of_a_sensor_whose_samples_are_off_the_beat() -> None:
    # By half a sample, where the recorded times' rounding decides the row.
    assert_found(on_time([sensor_batch(number, jitter=0.0008) for number in range(BATCHES)]))


def test_of_a_sensor_that_stamps_a_datagram_at_once() -> None:
    batches = [sensor_batch(number) for number in range(BATCHES)]
    for batch in batches:
        batch.stamps = [batch.stamps[-1]] * len(batch.stamps)
    assert_found(on_time(batches))


def test_of_a_sensor_that_pauses_for_half_a_sample() -> None:
    # Which row it is then, the clock offset's last digits decide.
    batches = [sensor_batch(number, SKEW + 1.3e-7 * number) for number in range(4 * BATCHES)]
    for number, batch in enumerate(batches):
        times = [convert.seconds(stamp) + number // 5 * 0.5 / SENSOR_RATE for stamp in batch.stamps]
        batch.stamps = [convert.time_message(time) for time in times]
    assert_found(on_time(batches))


@pytest.mark.parametrize("sign", [1, -1])
def test_while_the_clock_offset_is_learnt(sign: int) -> None:
    offsets = [SKEW + sign * 0.03 * 0.9**number for number in range(BATCHES)]
    assert_found(on_time([sensor_batch(n, offset) for n, offset in enumerate(offsets)]))


def test_when_the_senders_clock_is_set() -> None:
    batches = [sensor_batch(number) for number in range(BATCHES)]
    for batch in batches[BATCHES // 2 :]:
        batch.clock_offset += 5.0  # its times jumped back, ours go on
    assert_found(on_time(batches))


def test_of_a_run_by_simulated_time(plain: list[Arrival]) -> None:
    samples = RecordedSamples(recorded([(time + 1e8, batch) for time, batch in plain]))
    for chunk, values in chunks_of(plain):
        np.testing.assert_array_equal(samples.window(chunk), values)


def test_a_datagram_that_only_the_recorder_got_is_not_in_it(plain: list[Arrival]) -> None:
    got = [arrival for number, arrival in enumerate(plain) if number not in (22, 23, 40)]
    samples = RecordedSamples(recorded(plain))
    for chunk, values in chunks_of(got):
        np.testing.assert_array_equal(samples.window(chunk), values)


def test_after_the_expert_has_started_over(plain: list[Arrival]) -> None:
    expert = Expert()
    for _, batch in plain[20:24]:
        expert.take(batch)
    chunk, values = expert.act(plain[23][0])
    assert int(chunk.mask.sum()) == 60
    np.testing.assert_array_equal(RecordedSamples(recorded(plain)).window(chunk), values)


def test_without_one_of_its_datagrams_there_is_none(plain: list[Arrival]) -> None:
    assert_found_but_for(30, got=plain, recorded_ones=plain)


def test_another_datagram_does_not_stand_in_for_a_missing_one(plain: list[Arrival]) -> None:
    assert_found_but_for(30, got=plain[:31] + plain[32:], recorded_ones=plain)


def assert_found_but_for(missing: int, got: list[Arrival], recorded_ones: list[Arrival]) -> None:
    """All windows, but for those that have a sample of a datagram that is not recorded."""
    lost = recorded_ones[missing]
    first, *_, last = map(convert.seconds, lost[1].stamps)
    samples = RecordedSamples(recorded([item for item in recorded_ones if item is not lost]))
    without = 0
    for chunk, values in chunks_of(got):
        if chunk.sensor_first <= last and first <= chunk.sensor_last:
            without += 1
            with pytest.raises(NotRecordedError, match="samples of its window are not in the rec"):
                samples.window(chunk)
        else:
            np.testing.assert_array_equal(samples.window(chunk), values)
    assert without


def test_of_a_recording_without_samples_there_is_none(plain: list[Arrival]) -> None:
    chunk, _ = chunks_of(plain)[0]
    with pytest.raises(NotRecordedError):
        RecordedSamples(iter(())).window(chunk)


def test_a_long_time_without_chunks_takes_no_memory(plain: list[Arrival]) -> None:
    alive: list[weakref.ref[NDArray[np.float32]]] = []
    most = 0

    def walk() -> Iterator[Received[SensorDatagram]]:
        nonlocal most
        for number in range(1500):  # 35 s
            batch = sensor_batch(0)
            shift = number * 15 / SENSOR_RATE
            batch.stamps = [
                convert.time_message(convert.seconds(stamp) + shift) for stamp in batch.stamps
            ]
            item = sensor_datagram(batch, published_at(batch))
            alive.append(weakref.ref(item.packet.force))
            most = max(most, sum(ref() is not None for ref in alive[-400:]))
            yield item
            del item

    chunk, _ = chunks_of(plain)[0]
    far = START + 30.0
    later = replace(chunk, timestamp=far, sensor_first=far - 0.1, sensor_last=far - 0.01)
    samples = RecordedSamples(walk())
    with pytest.raises(NotRecordedError):
        samples.window(later)
    assert len(alive) > 1000
    assert most < 150
