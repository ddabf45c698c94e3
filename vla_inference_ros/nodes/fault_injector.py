"""Fault injector: stands between the senders and the bridges and spoils what passes, as it is told.

Its faults are parameters that can be set while it runs; without any it passes all on unchanged.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

from vla_inference_ros.core.address import LISTEN_ON
from vla_inference_ros.core.wire import CAMERA_PORT, ROBOT_PORT, SENSOR_PORT
from vla_inference_ros.nodes.parameters import follow, parameter
from vla_inference_ros.nodes.vla_node import StartError, VlaNode, run
from vla_inference_ros.sim.faults import LIMITS, FaultCounts, Faults
from vla_inference_ros.sim.proxy import CameraProxy, Proxy, RobotProxy, Route, SensorProxy
from vla_inference_ros.sim.spoilt import CONTENTS, OWN

# The parameters of each: where it listens, and to whom it talks.
_PROXIES = (
    (CameraProxy, "camera_listen_port", "camera_host", "camera_port"),
    (RobotProxy, "robot_port", "robot_source_host", "robot_source_port"),
    (SensorProxy, "sensor_listen_port", "sensor_host", "sensor_port"),
)
_SUMMARY_PERIOD = 5.0  # how often the log says what has been done [s]
_PORTS: dict[str, Any] = {"minimum": 1, "maximum": 65535}
_EFFECTS = {
    "delay": "how long {} are held up [s]",
    "jitter": "further delay of {}, drawn anew for each between 0 and this [s]",
    "loss": "probability that one of the {} is lost",
    "reorder": "probability that one of the {} is sent after the next one",
    "duplicate": "probability that one of the {} is sent twice",
    "corrupt": "probability that one of the {} is damaged",
    "clock_step": "added to all times in {} [s]",
    "clock_drift": "by how much the clock that stamps {} runs fast [ppm]",
    "clock_jitter": "by how much the clock that stamps {} jumps about, either way [s]",
    "frozen": "whether all {} repeat the content of the first one",
    "frozen_stamps": "whether frozen {} repeat its times as well",
    "content": "what the content of {} is, though their times go on",
}


def _fault(name: str, what: str) -> dict[str, Any]:
    """What :func:`parameter` needs to know of a fault of ``what``."""
    low, high = LIMITS.get(name, (None, None))
    description = _EFFECTS[name].format(what)
    return {"description": description, "minimum": low, "maximum": high, "dynamic": True}


def _content(stream: str, what: str) -> dict[str, Any]:
    """What :func:`parameter` needs to know of the contents of a stream of ``what``."""
    return _fault("content", what) | {"choices": tuple(CONTENTS[stream])}


@dataclass(frozen=True, slots=True)
class FaultInjectorConfig:
    """Parameters of the fault injector."""

    bind_address: str = parameter("*", LISTEN_ON)
    camera_listen_port: int = parameter(15555, "TCP port that the cameras push to", **_PORTS)
    camera_host: str = parameter("127.0.0.1", "host of the camera bridge")
    camera_port: int = parameter(CAMERA_PORT, "TCP port of the camera bridge", **_PORTS)
    robot_source_host: str = parameter("127.0.0.1", "host of the robot sender")
    robot_source_port: int = parameter(15556, "TCP port of the robot sender", **_PORTS)
    robot_port: int = parameter(ROBOT_PORT, "TCP port that the robot bridge connects to", **_PORTS)
    sensor_listen_port: int = parameter(19999, "UDP port that the sensor sends to", **_PORTS)
    sensor_host: str = parameter("127.0.0.1", "host of the sensor bridge")
    sensor_port: int = parameter(SENSOR_PORT, "UDP port of the sensor bridge", **_PORTS)
    seed: int = parameter(
        0, "decides which packets suffer; the same for the same seed", minimum=0, maximum=2**31 - 1
    )

    camera_only: str = parameter(
        "", "only cameras whose name contains this have faults; '' for all", dynamic=True
    )
    camera_delay: float = parameter(0.0, **_fault("delay", "frames"))
    camera_jitter: float = parameter(0.0, **_fault("jitter", "frames"))
    camera_loss: float = parameter(0.0, **_fault("loss", "frames"))
    camera_reorder: float = parameter(0.0, **_fault("reorder", "frames"))
    camera_duplicate: float = parameter(0.0, **_fault("duplicate", "frames"))
    camera_corrupt: float = parameter(0.0, **_fault("corrupt", "frames"))
    camera_clock_step: float = parameter(0.0, **_fault("clock_step", "frames"))
    camera_clock_drift: float = parameter(0.0, **_fault("clock_drift", "frames"))
    camera_clock_jitter: float = parameter(0.0, **_fault("clock_jitter", "frames"))
    camera_frozen: bool = parameter(False, **_fault("frozen", "frames of a camera"))
    camera_frozen_stamps: bool = parameter(True, **_fault("frozen_stamps", "frames"))
    camera_content: str = parameter(OWN, **_content("camera", "frames"))

    robot_delay: float = parameter(0.0, **_fault("delay", "robot packets"))
    robot_jitter: float = parameter(0.0, **_fault("jitter", "robot packets"))
    robot_loss: float = parameter(0.0, **_fault("loss", "robot packets"))
    robot_reorder: float = parameter(0.0, **_fault("reorder", "robot packets"))
    robot_duplicate: float = parameter(0.0, **_fault("duplicate", "robot packets"))
    robot_corrupt: float = parameter(0.0, **_fault("corrupt", "robot packets"))
    robot_clock_step: float = parameter(0.0, **_fault("clock_step", "robot packets"))
    robot_clock_drift: float = parameter(0.0, **_fault("clock_drift", "robot packets"))
    robot_clock_jitter: float = parameter(0.0, **_fault("clock_jitter", "robot packets"))
    robot_frozen: bool = parameter(False, **_fault("frozen", "robot packets"))
    robot_frozen_stamps: bool = parameter(True, **_fault("frozen_stamps", "robot packets"))

    sensor_delay: float = parameter(0.0, **_fault("delay", "datagrams"))
    sensor_jitter: float = parameter(0.0, **_fault("jitter", "datagrams"))
    sensor_loss: float = parameter(0.0, **_fault("loss", "datagrams"))
    sensor_reorder: float = parameter(0.0, **_fault("reorder", "datagrams"))
    sensor_duplicate: float = parameter(0.0, **_fault("duplicate", "datagrams"))
    sensor_corrupt: float = parameter(0.0, **_fault("corrupt", "datagrams"))
    sensor_clock_step: float = parameter(0.0, **_fault("clock_step", "datagrams"))
    sensor_clock_drift: float = parameter(0.0, **_fault("clock_drift", "datagrams"))
    sensor_clock_jitter: float = parameter(0.0, **_fault("clock_jitter", "datagrams"))
    sensor_frozen: bool = parameter(False, **_fault("frozen", "datagrams"))
    sensor_frozen_stamps: bool = parameter(True, **_fault("frozen_stamps", "datagrams"))
    sensor_content: str = parameter(OWN, **_content("sensor", "datagrams"))

    def faults(self, stream: str) -> Faults:
        """Those of one stream: camera, robot or sensor."""
        names = {field.name: f"{stream}_{field.name}" for field in fields(Faults)}
        return Faults(
            **{name: getattr(self, own) for name, own in names.items() if hasattr(self, own)}
        )


class FaultInjector(VlaNode[FaultInjectorConfig]):
    """Passes frames, robot packets and datagrams on, with faults."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("fault_injector", FaultInjectorConfig, **node_arguments)
        with ExitStack() as stack:
            self._proxies = self._open(stack)
            self._resources = stack.pop_all()
        self._said = {proxy.name: FaultCounts() for proxy in self._proxies}
        self._said_dropped = {proxy.name: 0 for proxy in self._proxies}
        for proxy in self._proxies:
            proxy.faults = self.config.faults(proxy.name)
            self.add_worker(f"{proxy.name} proxy", proxy.run)
        follow(self, self.config, self._change)
        self.create_timer(_SUMMARY_PERIOD, self._summarize)
        self.get_logger().info(
            "passing on cameras, robot and sensor; 'ros2 param set' gives them faults"
        )

    def release(self) -> None:
        """Close the proxies."""
        self._resources.close()

    def _open(self, stack: ExitStack) -> list[Proxy]:
        """The three proxies, which ``stack`` closes; raises StartError."""
        config = self.config
        proxies: list[Proxy] = []
        for kind, *names in _PROXIES:
            listen_port, host, port = (getattr(config, name) for name in names)
            try:
                proxy = kind(Route(config.bind_address, listen_port, host, port, config.seed))
            except OSError as error:
                raise StartError(
                    f"parameters 'bind_address', {', '.join(map(repr, names))}: {error}"
                ) from error
            stack.callback(proxy.close)
            proxies.append(proxy)
        return proxies

    def _change(self, config: FaultInjectorConfig) -> None:
        """Parameters have been set."""
        for name in (field.name for field in fields(config)):
            old, new = getattr(self.config, name), getattr(config, name)
            if old != new:
                self.get_logger().info(f"{name}: {old!r} -> {new!r}")
        self.config = config
        for proxy in self._proxies:
            proxy.faults = config.faults(proxy.name)

    def _summarize(self) -> None:
        """Say what has been done, if anything has since the last time."""
        for proxy in self._proxies:
            counts = proxy.counts
            if counts.faults != self._said[proxy.name].faults:
                done = [f"{count} {what}" for what, count in counts.faults.items() if count]
                self.get_logger().info(
                    f"{proxy.name}: of {counts.received} packets so far {', '.join(done)}"
                )
            dropped = proxy.dropped - self._said_dropped[proxy.name]
            if dropped:
                self.get_logger().warning(
                    f"{proxy.name}: {dropped} packets dropped: is the bridge there and fast enough?"
                )
            self._said[proxy.name] = counts
            self._said_dropped[proxy.name] += dropped


def main() -> int:
    """Run the node."""
    return run(FaultInjector)
