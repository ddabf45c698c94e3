from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import cv2
import numpy as np
import pytest
import zmq

from vla_inference_ros.core.wire import ASCAN_LENGTH, CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.sim.faults import FaultCounts, FaultLine, Faults
from vla_inference_ros.sim.formats import (
    CameraFormat,
    Format,
    Packet,
    RobotFormat,
    SensorFormat,
)
from vla_inference_ros.sim.proxy import CameraProxy, Proxy, RobotProxy, Route, SensorProxy

TIMEOUT = 20.0  # s, until a condition that should come about at once has failed to
T = 1_700_000_000.25
HOST = "127.0.0.1"
SEED = 7
HELLO, LAST_HELLO = b"hello", b"last hello"
JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
FORMATS: dict[str, Format] = {
    "camera": CameraFormat(),
    "robot": RobotFormat(),
    "sensor": SensorFormat(),
}
PROXIES: list[type[CameraProxy | RobotProxy | SensorProxy]] = [CameraProxy, RobotProxy, SensorProxy]


def packet(stream: str, number: int) -> Packet:
    t = T + number / 64
    if stream == "camera":
        return CameraFrame("oak", t, JPEG + bytes([number]), 8, 8, t + 0.125).pack()
    if stream == "robot":
        return RobotPacket(t, t + 0.125, float(number), (0.5,) * 6, (0.25,) * 6).pack()
    times, ascan = np.array([t]), np.full((1, ASCAN_LENGTH), number, np.float32)
    return [SensorDatagram(times, times + 0.125, ascan[:, 0], ascan).pack()]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for has not come about"
        time.sleep(0.001)


@contextmanager
def thread(body: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    running = threading.Thread(target=body, args=(stop,))
    running.start()
    try:
        yield
    finally:
        stop.set()
        running.join(TIMEOUT)
        assert not running.is_alive()


class Ends:
    """A proxy's two ends: ``send`` as the sender does, and ``got`` what the bridge gets."""

    def __init__(
        self, proxy: Proxy, send: Callable[[Packet], object], receive: Callable[[], Packet | None]
    ) -> None:
        self.proxy, self.send, self._receive = proxy, send, receive
        self.got: list[Packet] = []

    def read(self, stop: threading.Event) -> None:
        while not stop.is_set():
            got = self._receive()
            if got is not None:
                self.got.append(got)

    def connect(self) -> None:
        """Wait until packets come through, and those that were sent for it are all gone."""

        def heard() -> bool:
            self.send([HELLO])
            return [HELLO] in self.got

        until(heard)
        self.send([LAST_HELLO])
        until(lambda: [LAST_HELLO] in self.got)
        self.got.clear()

    def pass_on(self, given: list[Packet]) -> list[Packet]:
        """What comes through of some packets, once none of them is on the way any more."""
        before, dropped = self.proxy.counts, self.proxy.dropped
        self.got.clear()
        for number, sent in enumerate(given, 1):
            self.send(sent)
            self._wait_until_received(before.received + number)

        def settled() -> bool:
            now = self.proxy.counts
            gone = now.passed + now.lost - now.duplicated
            return (
                gone - (before.passed + before.lost - before.duplicated) == len(given)
                and len(self.got) == now.passed - before.passed
            )

        until(settled)
        assert self.proxy.dropped == dropped
        return list(self.got)

    def _wait_until_received(self, count: int) -> None:
        until(lambda: self.proxy.counts.received == count)


def zmq_end(stack: ExitStack, kind: int) -> zmq.Socket[bytes]:
    context: zmq.Context[zmq.Socket[bytes]] = stack.enter_context(zmq.Context())
    end = stack.enter_context(context.socket(kind))
    end.set(zmq.LINGER, 0)
    end.set(zmq.RCVTIMEO, 50)
    if kind == zmq.SUB:
        end.subscribe(b"")
    return end


def zmq_receive(end: zmq.Socket[bytes]) -> Packet | None:
    try:
        return end.recv_multipart()
    except zmq.Again:
        return None


def udp_end(stack: ExitStack) -> socket.socket:
    end = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    end.bind((HOST, 0))
    end.settimeout(0.05)
    return end


def udp_receive(end: socket.socket) -> Packet | None:
    try:
        return [end.recv(65536)]
    except TimeoutError:
        return None


def opened(stream: str, stack: ExitStack) -> Ends:
    if stream == "sensor":
        sensor, bridge = udp_end(stack), udp_end(stack)
        udp = SensorProxy(Route(HOST, 0, HOST, bridge.getsockname()[1], SEED))
        stack.callback(udp.close)
        return Ends(
            udp, lambda p: sensor.sendto(p[0], (HOST, udp.port)), lambda: udp_receive(bridge)
        )
    proxy: Proxy
    if stream == "camera":
        sender, receiver = zmq_end(stack, zmq.PUSH), zmq_end(stack, zmq.PULL)
        port = receiver.bind_to_random_port(f"tcp://{HOST}")
        proxy = CameraProxy(Route(HOST, 0, HOST, port, SEED))
        sender.connect(f"tcp://{HOST}:{proxy.port}")
    else:
        sender, receiver = zmq_end(stack, zmq.PUB), zmq_end(stack, zmq.SUB)
        port = sender.bind_to_random_port(f"tcp://{HOST}")
        proxy = RobotProxy(Route(HOST, 0, HOST, port, SEED))
        receiver.connect(f"tcp://{HOST}:{proxy.port}")
    stack.callback(proxy.close)
    return Ends(proxy, sender.send_multipart, lambda: zmq_receive(receiver))


@pytest.fixture(params=list(FORMATS))
def stream(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def ends(stream: str) -> Iterator[Ends]:
    """Those of a proxy that is running and connected."""
    with ExitStack() as stack:
        made = opened(stream, stack)
        with thread(made.proxy.run), thread(made.read):
            made.connect()
            yield made


@pytest.fixture
def given(stream: str) -> list[Packet]:
    return [packet(stream, number) for number in range(20)]


def test_without_faults_all_passes_unchanged(ends: Ends, stream: str, given: list[Packet]) -> None:
    odd = [[b""], [b"junk"]] if stream == "sensor" else [[b""], [b"a", b"", b"c"], [b"robot"]]
    assert ends.pass_on(given + odd) == given + odd
    assert ends.proxy.counts.passed == ends.proxy.counts.received
    assert not any(ends.proxy.counts.faults.values())


def test_packets_of_the_rigs_size_pass_unchanged(ends: Ends, stream: str) -> None:
    part = np.random.default_rng(1).bytes(61_804 if stream == "sensor" else 400_000)
    given = [[part]] if stream == "sensor" else [[b"{}", part], [b"", part]]
    assert ends.pass_on(given) == given


def test_lost_packets_do_not_arrive(ends: Ends, given: list[Packet]) -> None:
    ends.proxy.faults = Faults(loss=1.0)
    assert ends.pass_on(given) == []
    assert ends.proxy.counts.faults == FaultCounts(lost=20).faults
    ends.proxy.faults = Faults()
    assert ends.pass_on(given) == given


def test_some_packets_are_lost_and_the_others_come_in_order(
    ends: Ends, given: list[Packet]
) -> None:
    ends.proxy.faults = Faults(loss=0.5)
    got = ends.pass_on(given)
    assert got == [packet for packet in given if packet in got]
    assert 0 < len(got) == 20 - ends.proxy.counts.lost < 20


def test_duplicates_arrive(ends: Ends, given: list[Packet]) -> None:
    ends.proxy.faults = Faults(duplicate=1.0)
    assert ends.pass_on(given) == [packet for packet in given for _ in range(2)]


def test_packets_arrive_out_of_order(ends: Ends, given: list[Packet]) -> None:
    ends.proxy.faults = Faults(reorder=1.0)
    assert ends.pass_on(given) == [given[number ^ 1] for number in range(20)]


def test_a_packet_that_is_held_back_arrives_without_another(
    ends: Ends, given: list[Packet]
) -> None:
    ends.proxy.faults = Faults(reorder=1.0)
    assert ends.pass_on(given[:3]) == [given[1], given[0], given[2]]


def test_damaged_packets_arrive(ends: Ends, given: list[Packet]) -> None:
    ends.proxy.faults = Faults(corrupt=1.0)
    got = ends.pass_on(given)
    assert all(after != before for after, before in zip(got, given, strict=True))
    assert all(len(after) == len(before) for after, before in zip(got, given, strict=True))


def test_a_delay_is_not_cut_short(ends: Ends, given: list[Packet]) -> None:
    ends.proxy.faults = Faults(delay=0.25, jitter=0.125)
    some = given[:8]  # which may all be due at once: fewer than the proxy's queues hold
    before = time.monotonic()
    got = ends.pass_on(some)
    assert time.monotonic() - before >= 0.25
    assert sorted(got) == sorted(some)


def test_the_senders_clock_is_off(ends: Ends, stream: str, given: list[Packet]) -> None:
    form = FORMATS[stream]
    ends.proxy.faults = Faults(clock_step=2.0)
    times = [form.times(packet) for packet in ends.pass_on(given)]
    np.testing.assert_array_equal(times, [form.times(packet) + 2.0 for packet in given])


def test_a_stream_freezes_and_thaws(ends: Ends, given: list[Packet]) -> None:
    ends.proxy.faults = Faults(frozen=True)
    assert ends.pass_on(given) == given[:1] * 20
    ends.proxy.faults = Faults()
    assert ends.pass_on(given) == given


def test_the_seed_decides_what_is_lost(ends: Ends, stream: str, given: list[Packet]) -> None:
    line = FaultLine(FORMATS[stream], SEED)
    for _ in range(ends.proxy.counts.received):
        line.put([HELLO], 0.0)
    line.ready(0.0)
    ends.proxy.faults = line.faults = Faults(loss=0.5)
    for packet in given:
        line.put(packet, 0.0)
    assert ends.pass_on(given) == line.ready(0.0)


# --- sockets


def test_frames_that_no_bridge_takes_are_dropped_and_counted() -> None:
    with ExitStack() as stack:
        closed = stack.enter_context(socket.socket())
        closed.bind((HOST, 0))  # and never listened on
        proxy = CameraProxy(Route(HOST, 0, HOST, closed.getsockname()[1]))
        stack.callback(proxy.close)
        sender = zmq_end(stack, zmq.PUSH)
        sender.connect(f"tcp://{HOST}:{proxy.port}")
        with thread(proxy.run):
            for number in range(20):
                sender.send_multipart(packet("camera", number))
            until(lambda: proxy.dropped == 20)
        assert proxy.counts.passed == 20


def test_a_bridge_that_stops_reading_does_not_hold_the_cameras() -> None:
    with ExitStack() as stack:
        bridge = zmq_end(stack, zmq.PULL)
        bridge.set(zmq.RCVHWM, 1)
        proxy = CameraProxy(Route(HOST, 0, HOST, bridge.bind_to_random_port(f"tcp://{HOST}")))
        stack.callback(proxy.close)
        sender = zmq_end(stack, zmq.PUSH)
        sender.set(zmq.SNDTIMEO, int(TIMEOUT * 1e3))
        sender.connect(f"tcp://{HOST}:{proxy.port}")
        frame = [b"{}", bytes(1_000_000)]
        with thread(proxy.run):
            until(lambda: sender.send_multipart(frame) or proxy.counts.passed > proxy.dropped > 0)
            received = proxy.counts.received
            for _ in range(50):
                sender.send_multipart(frame)
            until(lambda: proxy.counts.received >= received + 50)


@pytest.mark.parametrize("kind", PROXIES)
def test_a_port_in_use_is_named_and_a_closed_proxys_is_free(
    kind: type[CameraProxy | RobotProxy | SensorProxy],
) -> None:
    first = kind(Route(HOST, 0, HOST, 9))
    with pytest.raises(
        OSError, match=rf"{first.name} proxy cannot listen on .*:{first.port}: .*in"
    ):
        kind(Route(HOST, first.port, HOST, 9))
    first.close()
    kind(Route(HOST, first.port, HOST, 9)).close()


@pytest.mark.parametrize("kind", PROXIES)
def test_a_host_that_is_none_is_named(kind: type[CameraProxy | RobotProxy | SensorProxy]) -> None:
    with pytest.raises(OSError, match=r"proxy cannot .*no such host"):
        kind(Route(HOST, 0, "no such host", 9))
