from __future__ import annotations

import os
import re
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from harness import Listener, NodeProcess, failed_start, free_port, problems, running

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.troubles import CLOCK_CONTRADICTED
from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE, SensorDatagram
from vla_inference_ros.msg import SensorBatch
from vla_inference_ros.resend.outlets import unread_bytes

SKEW = 1234.5  # the sender's clock is ahead of ours by so much [s]
AGE = 0.08  # a datagram's newest sample has waited so long at the sender [s]
CLOSE = 0.005  # the time from a send time's taking to the kernel's receipt, at best [s]


def datagram(now: float, count: int = 15) -> SensorDatagram:
    """Samples whose newest was acquired ``AGE`` before now, by the sender's clock."""
    times = now + SKEW - AGE - np.arange(count)[::-1] / SENSOR_RATE
    values = np.random.default_rng(count).normal(size=(count, 1 + ASCAN_LENGTH)).astype("f4")
    return SensorDatagram(times, np.full(count, now + SKEW), values[:, 0], values[:, 1:])


@dataclass
class Sensor:
    """The sensor's host."""

    socket: socket.socket
    port: int
    datagrams: int = 0

    def send(self, count: int = 15) -> float:
        """Send good samples now; the true acquisition time of the newest, by our clock."""
        now = time.time()
        self.datagrams += 1
        self.send_bytes(datagram(now, count).pack())
        return now - AGE

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendto(data, ("127.0.0.1", self.port))


@pytest.fixture(scope="module")
def port() -> int:
    return free_port(socket.SOCK_DGRAM)


@pytest.fixture(scope="module")
def bridge(port: int) -> Iterator[NodeProcess]:
    with running("sensor_bridge", port=port) as node:
        yield node


@pytest.fixture(scope="module")
def sensor(port: int, bridge: NodeProcess, listener: Listener) -> Iterator[Sensor]:
    """A sender that has been heard, and whose clock offset has been learnt."""
    batches = listener.listen(SensorBatch, "/sensor/samples")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        sensor = Sensor(udp, port)
        bridge.wait_until_said("waiting for the sensor")
        listener.spin_until(lambda: batches and bridge.said("clock offset"), repeat=sensor.send)
        yield sensor


def next_batch(sensor: Sensor, listener: Listener, count: int = 15) -> tuple[float, SensorBatch]:
    """The true time of the newest sample, and the batch that it came in."""
    batches = listener.listen(SensorBatch, "/sensor/samples")
    true_time = sensor.send(count)
    listener.spin_until(
        lambda: any(abs(seconds(batch.header.stamp) - true_time) < CLOSE for batch in batches)
    )
    return true_time, batches[-1]


def test_the_clock_offset_is_learnt_from_a_seconds_datagrams(
    bridge: NodeProcess, sensor: Sensor, listener: Listener
) -> None:
    (line,) = bridge.said("clock offset")
    assert re.search(r"learnt from \d+ packets", line)
    report = listener.report("sensor_bridge", "sensor", lambda r: r.clock_uncertainty >= 0)
    assert report.clock_mode == "calibrate"
    assert -SKEW <= report.clock_offset < -SKEW + CLOSE


def test_a_datagram_becomes_a_batch(sensor: Sensor, listener: Listener) -> None:
    true_time, batch = next_batch(sensor, listener)
    sent = datagram(0.0)
    assert list(batch.force) == sent.force.tolist()
    assert batch.ascan_length == ASCAN_LENGTH
    assert batch.ascan.tobytes() == sent.ascan.tobytes()
    assert batch.header.frame_id == "sensor"
    assert batch.header.stamp == batch.stamps[-1]
    # The acquisition time in our clock: the sample's age stays what it is.
    stamps = np.array([seconds(stamp) for stamp in batch.stamps])
    np.testing.assert_allclose(
        stamps, true_time - np.arange(15)[::-1] / SENSOR_RATE, atol=CLOSE, rtol=0.0
    )
    np.testing.assert_allclose(np.diff(stamps), 1 / SENSOR_RATE, atol=1e-6)
    assert -SKEW <= batch.clock_offset < -SKEW + CLOSE


def test_damaged_times_do_not_move_the_offset(sensor: Sensor, listener: Listener) -> None:
    """What seems a minute old is for its reader to judge; what is from the future may be so old."""
    batches = listener.listen(SensorBatch, "/sensor/samples")
    for wrong in (-60.0, 60.0):
        sensor.datagrams += 1
        sensor.send_bytes(datagram(time.time() + wrong).pack())
        sensor.send()
    listener.spin_until(lambda: len(batches) == 3)
    for batch in batches[1:]:
        assert -SKEW <= batch.clock_offset < -SKEW + CLOSE
    report = listener.report("sensor_bridge", "sensor", lambda r: r.rejected > 0)
    assert problems(report) == {CLOCK_CONTRADICTED: 1}


def test_a_step_of_the_senders_clock_is_followed_at_once(
    sensor: Sensor, bridge: NodeProcess, listener: Listener
) -> None:
    step = -2.0
    batches = listener.listen(SensorBatch, "/sensor/samples")

    def stepped() -> float:
        now = time.time()
        sensor.send_bytes(datagram(now + step).pack())
        return now - AGE

    listener.spin_until(
        lambda: batches and batches[-1].clock_uncertainty < 0, repeat=stepped
    )  # it learns anew
    bridge.wait_until_said("stepped by")
    listener.spin_until(lambda: batches[-1].clock_uncertainty >= 0, repeat=stepped)
    true_time = stepped()
    listener.spin_until(
        lambda: any(abs(seconds(batch.header.stamp) - true_time) < CLOSE for batch in batches)
    )
    assert listener.report("sensor_bridge", "sensor", repeat=stepped).clock_steps == 1
    # And back, for the tests that follow.
    listener.spin_until(
        lambda: (
            -SKEW <= batches[-1].clock_offset < -SKEW + CLOSE and batches[-1].clock_uncertainty >= 0
        ),
        repeat=sensor.send,
    )


@pytest.mark.parametrize(("mode", "offset"), [("trust", 0.0), ("receive", AGE - SKEW)])
def test_the_clock_need_not_be_learnt(mode: str, offset: float, listener: Listener) -> None:
    port = free_port(socket.SOCK_DGRAM)
    batches = listener.listen(SensorBatch, "/sensor/samples")
    with (
        running("sensor_bridge", port=port, clock_mode=mode) as node,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        node.wait_until_said("waiting for the sensor")
        sensor = Sensor(udp, port)
        expected = pytest.approx(offset, abs=CLOSE)
        # On receipt, that of each datagram is later by what came between: seldom, nothing does not.
        listener.spin_until(
            lambda: any(batch.clock_offset == expected for batch in batches), repeat=sensor.send
        )
        assert {batch.clock_uncertainty for batch in batches} == {0.0}
        report = listener.report(
            "sensor_bridge", "sensor", lambda r: r.clock_offset == expected, repeat=sensor.send
        )
        assert report.clock_mode == mode


@pytest.mark.parametrize("count", [1, 2, 15])
def test_a_datagram_may_hold_any_number_of_samples(
    count: int, sensor: Sensor, listener: Listener
) -> None:
    _, batch = next_batch(sensor, listener, count)
    assert len(batch.stamps) == len(batch.force) == count
    assert len(batch.ascan) == count * ASCAN_LENGTH


def test_bad_input_is_counted_and_nothing_good_beside_it_is_lost(
    bridge: NodeProcess, sensor: Sensor, listener: Listener
) -> None:
    good = datagram(time.time(), 3).pack()

    def changed(at: int, fmt: str, value: float) -> bytes:
        """The good datagram with one number of its first sample changed."""
        return good[:at] + struct.pack(fmt, value) + good[at + struct.calcsize(fmt) :]

    time_, send_time, force, ascan = 4, 12, 20, 24
    nan, inf = float("nan"), float("inf")
    bad = {
        "wrong size": [b"", b"\0", good[:4], good[:-1], good + b"\0", b"x" * 65000],
        "wrong count": [changed(0, "<I", n) for n in (0, 2, 4, 2**32 - 1)],
        "not finite": [changed(force, "<f", nan), changed(ascan, "<f", -inf)],
        "force out of range": [changed(force, "<f", 3e38), changed(force, "<f", -2000.0)],
        "A-scan out of range": [changed(ascan, "<f", 3e38)],
        "bad time": [
            changed(time_, "<d", nan),
            changed(time_, "<d", 1.7e12),
            changed(send_time, "<d", 0.0),
            changed(send_time, "<d", 4e9),
            changed(time_, "<d", 946_685_000.0),  # impossible once the offset is added
        ],
    }
    before = listener.report("sensor_bridge", "sensor")
    batches = listener.listen(SensorBatch, "/sensor/samples")
    sent = 0
    for datagrams in bad.values():
        for data in datagrams:
            for _ in range(10):
                sensor.send_bytes(data)
            sensor.send()
            sent += 1
            listener.spin_until(lambda: batches)
            batches.clear()
    expected = {kind: 10 * len(datagrams) for kind, datagrams in bad.items()}
    report = listener.report(
        "sensor_bridge",
        "sensor",
        lambda report: report.rejected - before.rejected == sum(expected.values()),
    )
    assert Counter(problems(report)) - Counter(problems(before)) == expected
    assert report.accepted == before.accepted + 15 * sent
    assert report.clock_offset == pytest.approx(before.clock_offset, abs=CLOSE)
    for kind in bad:
        assert 1 <= len(bridge.said(f"({kind}: ")) <= 5


def test_a_burst_is_taken_whole_even_while_the_node_is_stalled(
    bridge: NodeProcess, sensor: Sensor, listener: Listener
) -> None:
    if bridge.said("the kernel gives"):
        # net.core.rmem_max is the machine's own: a smaller buffer cannot hold the burst.
        pytest.skip("the receive buffer is smaller here than the node asks for")
    before = listener.report("sensor_bridge", "sensor")
    os.kill(bridge.process.pid, signal.SIGSTOP)
    try:
        for _ in range(100):  # more than two seconds of the rig's
            sensor.send()
    finally:
        os.kill(bridge.process.pid, signal.SIGCONT)
    report = listener.report(
        "sensor_bridge", "sensor", lambda report: report.accepted == before.accepted + 1500
    )
    assert report.rejected == before.rejected


def test_what_the_kernel_drops_is_counted(
    bridge: NodeProcess, sensor: Sensor, listener: Listener
) -> None:
    before = listener.report("sensor_bridge", "sensor")
    os.kill(bridge.process.pid, signal.SIGSTOP)
    try:
        for _ in range(300):
            sensor.send()
    finally:
        os.kill(bridge.process.pid, signal.SIGCONT)
    listener.spin_until(lambda: list(unread_bytes(sensor.port)) == [0])
    sensor.send()  # the kernel tells of its drops with the next datagram that it takes
    report = listener.report(
        "sensor_bridge",
        "sensor",
        lambda r: (r.accepted - before.accepted) // 15 + problems(r).get("kernel drop", 0) == 301,
    )
    assert problems(report)["kernel drop"] > 0


def test_a_port_in_use_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))
        port = other.getsockname()[1]
        line = failed_start("sensor_bridge", port=port)
    assert "'port'" in line
    assert str(port) in line
    assert "in use" in line


def test_parameters_that_cannot_be_used_are_named() -> None:
    assert "'bind_address'" in failed_start("sensor_bridge", bind_address="203.0.113.1")
