"""The whole graph on real sockets, with senders whose stamps go on and whose content is dead or
damaged: the verdict names the source, no chunk is OK, and all is well again when it is over.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from harness import LATCHED, Listener, NodeProcess, free_port, running
from threads import in_thread

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.troubles import (
    BLANK,
    DAMAGED,
    OVERDUE,
    REPEATED_PICTURES,
    REPEATED_SCANS,
    TWIN,
    UNCHANGED,
)
from vla_inference_ros.msg import ActionChunk, InferenceStatus, VLFeatures
from vla_inference_ros.sim.faults import Faults
from vla_inference_ros.sim.proxy import CameraProxy, Proxy, Route, SensorProxy
from vla_inference_ros.sim.scene import PictureFormat
from vla_inference_ros.sim.senders import (
    CameraConfig,
    CameraSender,
    RobotConfig,
    RobotSender,
    SensorConfig,
    SensorSender,
)

HOST = "127.0.0.1"
ONE = "44377151"  # the serial number of View3's camera
SMALL = PictureFormat(320, 180)
FPS = 15.0
KNOWN_AFTER = 1.0  # a dead input may have been good enough for so long [s]
STEADY = 5  # chunks that are OK in a row


@dataclass
class Rig:
    """The proxies between senders and bridges, and what comes out."""

    listener: Listener
    proxies: dict[str, Proxy]
    nodes: dict[str, NodeProcess]
    chunks: list[ActionChunk] = field(default_factory=list)
    statuses: list[InferenceStatus] = field(default_factory=list)
    features: list[VLFeatures] = field(default_factory=list)

    def wait_until_ok(self) -> None:
        """Until chunks come, are OK, and nothing is wrong."""
        first = len(self.chunks)

        def steady() -> bool:
            newest = self.chunks[first:][-STEADY:]
            good = [chunk for chunk in newest if chunk.validity == ActionChunk.OK]
            return len(good) == STEADY and self.is_quiet()

        self.listener.spin_until(steady)

    def is_quiet(self) -> bool:
        status = self.statuses[-1]
        return bool(status.state == InferenceStatus.OK and not status.troubles)

    @contextmanager
    def suffering(self, stream: str, **faults: str) -> Iterator[float]:
        """A fault, and when the first packet suffered it [Unix s]."""
        proxy = self.proxies[stream]
        before = proxy.counts.spoilt
        proxy.faults = Faults(**faults)  # type: ignore[arg-type]
        try:
            self.listener.spin_until(lambda: proxy.counts.spoilt > before)
            yield time.time()
        finally:
            proxy.faults = Faults()

    def verdict(self, *parts: str) -> Callable[[], bool]:
        """Whether the newest status says all of these."""

        def said() -> bool:
            status = self.statuses[-1]
            text = "; ".join([status.reason, *status.troubles])
            return all(part in text for part in parts)

        return said


@pytest.fixture(scope="module")
def rig(listener: Listener) -> Iterator[Rig]:
    camera_port, robot_port = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
    sensor_port = free_port(socket.SOCK_DGRAM)
    with ExitStack() as stack:
        proxies: dict[str, Proxy] = {
            "camera": CameraProxy(Route(HOST, 0, HOST, camera_port)),
            "sensor": SensorProxy(Route(HOST, 0, HOST, sensor_port)),
        }
        for proxy in proxies.values():
            stack.callback(proxy.close)
            stack.enter_context(in_thread(proxy.run))
        cameras = CameraConfig(port=proxies["camera"].port, fps=FPS, picture=SMALL, pool=10)
        for sender in (
            CameraSender(cameras),
            RobotSender(RobotConfig(HOST, robot_port)),
            SensorSender(SensorConfig(port=proxies["sensor"].port)),
        ):
            stack.callback(sender.close)
            stack.enter_context(in_thread(sender.run))
        rig = Rig(listener, proxies, {})
        rig.chunks = listener.listen(ActionChunk, "/vla/actions")
        rig.features = listener.listen(VLFeatures, "/vla/features")
        rig.statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
        for name, parameters in {
            "camera_bridge": {"port": camera_port},
            "robot_bridge": {"port": robot_port},
            "sensor_bridge": {"port": sensor_port},
            "vlm": {"model": "stub", "stub_vl_ms": 250.0},
            "action_expert": {"model": "stub", "stub_expert_ms": 5.0},
            "monitor": {},
        }.items():
            rig.nodes[name] = stack.enter_context(running(name, **parameters))  # type: ignore[arg-type]
        yield rig


DEAD = {
    "frozen": (UNCHANGED, ONE, "View3"),
    "ring": (REPEATED_PICTURES, ONE, "View3"),
    "blank": (BLANK, ONE, "View3"),
    "twin": (TWIN, "", "View5"),
}


@pytest.mark.parametrize("content", DEAD)
def test_a_dead_camera_holds_and_is_named(content: str, rig: Rig) -> None:
    trouble, only, view = DEAD[content]
    rig.wait_until_ok()
    with rig.suffering("camera", content=content, only=only) as since:
        rig.listener.spin_until(rig.verdict(f"{view}: {trouble}"))
        rig.listener.spin_until(lambda: rig.statuses[-1].state == InferenceStatus.HOLD)
        rig.listener.spin_until(rig.verdict("VLM: ", trouble))
        rig.listener.spin_for(0.5)
        check_none_ok(rig, since)
    rig.wait_until_ok()


def check_none_ok(rig: Rig, since: float) -> None:
    late = [
        chunk
        for chunk in rig.chunks
        if seconds(chunk.header.stamp) > since + KNOWN_AFTER and chunk.validity == ActionChunk.OK
    ]
    assert not late, f"{len(late)} chunks OK, the first {late[0].header.stamp} after {since}"


def test_a_dead_sensor_holds_and_is_named(rig: Rig) -> None:
    rig.wait_until_ok()
    with rig.suffering("sensor", content="constant") as since:
        rig.listener.spin_until(rig.verdict(f"sensor: {REPEATED_SCANS}"))
        rig.listener.spin_until(lambda: rig.statuses[-1].state == InferenceStatus.HOLD)
        rig.listener.spin_for(0.5)
        check_none_ok(rig, since)
    rig.wait_until_ok()


@pytest.mark.parametrize("content", ["zeroed", "cut", "emptied"])
def test_no_chunk_is_of_a_damaged_picture(content: str, rig: Rig) -> None:
    rig.wait_until_ok()
    with rig.suffering("camera", content=content, only=ONE) as since:
        rig.listener.spin_until(rig.verdict(f"View3: {DAMAGED}"))
        rig.listener.spin_until(lambda: rig.statuses[-1].state == InferenceStatus.HOLD)
        check_none_ok(rig, since)
        until = time.time()
    rig.wait_until_ok()
    # A good picture may have been on its way when the first damaged one was; it was taken before.
    spoilt = [
        update
        for update in rig.features
        for view, stamp in zip(update.views, update.view_stamps, strict=True)
        if view == "View3" and since < seconds(stamp) < until - 0.5
    ]
    assert not spoilt


def test_a_picture_that_would_take_minutes_is_refused_and_named(rig: Rig) -> None:
    rig.wait_until_ok()
    with rig.suffering("camera", content="endless", only=ONE) as since:
        rig.listener.spin_until(rig.verdict("View3: bad JPEG"))
        rig.listener.spin_until(lambda: rig.statuses[-1].state != InferenceStatus.OK)
        check_none_ok(rig, since)
        assert rig.nodes["camera_bridge"].said("scans or more, which would take too long to decode")
    rig.wait_until_ok()


def test_an_update_that_does_not_end_is_named_while_it_lasts(rig: Rig) -> None:
    """The last test, for it takes this graph's VLM away; and a stuck one cannot be stopped well."""
    rig.nodes["vlm"].stop()
    stuck = NodeProcess("vlm", {"model": "stub", "stub_vl_ms": 60_000.0})
    try:
        rig.listener.spin_until(
            rig.verdict(f"vlm: {OVERDUE}", "an update has been running for more than 1.2 s")
        )
        assert rig.statuses[-1].state == InferenceStatus.HOLD
    finally:
        stuck.process.kill()
        stuck.wait()
