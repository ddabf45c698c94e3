"""Sensor bridge: UDP datagrams in, sensor batches out, with stamps in this host's clock."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from vla_inference_ros.convert import sensor_batch
from vla_inference_ros.core.address import LISTEN_ON, with_port
from vla_inference_ros.core.allow_list import AllowList
from vla_inference_ros.core.clock import CLOCK_MODES
from vla_inference_ros.core.limits import MOST_ASCAN, MOST_FORCE, SensorLimits
from vla_inference_ros.core.source import Listening, Sender
from vla_inference_ros.core.udp import Datagram, UdpReceiver
from vla_inference_ros.core.wire import SENSOR_PORT, SensorDatagram
from vla_inference_ros.msg import SensorBatch
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.debug_lines import PACKET_PERIOD, packet_line
from vla_inference_ros.nodes.one_sender import OneSender
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.run_state import RunStateKeeper
from vla_inference_ros.nodes.sender_stamps import CLOCK_MODE, LONG_WAY
from vla_inference_ros.nodes.threads import ThreadConfig
from vla_inference_ros.nodes.verbosity import DebugRecords
from vla_inference_ros.nodes.vla_node import StartError, VlaNode, run

_TIMEOUT = 0.1  # how often the socket thread looks whether it should stop [s]


@dataclass(frozen=True, slots=True)
class SensorBridgeConfig(ThreadConfig):
    """Parameters of the sensor bridge."""

    port: int = parameter(
        SENSOR_PORT, "UDP port that the sensor sends to", minimum=1, maximum=65535
    )
    bind_address: str = parameter("*", LISTEN_ON)
    allowed_sources: str = parameter(
        "",
        "addresses and networks that may send, such as 192.168.1.20, 10.0.0.0/8, fd00::/8; '' for "
        "all",
    )
    frame_id: str = parameter("sensor", "frame of the force and the A-scans")
    clock_mode: str = parameter("calibrate", CLOCK_MODE, choices=CLOCK_MODES)
    receive_buffer: int = parameter(
        4 << 20, "bytes the kernel may hold for us [bytes]", minimum=65536, maximum=1 << 30
    )
    force_limit: float = parameter(
        MOST_FORCE,
        "a datagram with a force that is larger, either way, is refused as nonsense [N]",
        minimum=0.001,
        maximum=1e9,
    )
    ascan_limit: float = parameter(
        MOST_ASCAN,
        "a datagram with a point of an A-scan that is larger, either way, is refused as nonsense "
        "[sender's unit]",
        minimum=0.001,
        maximum=1e30,
    )


class SensorBridge(VlaNode[SensorBridgeConfig]):
    """Publishes ``/sensor/samples``, one batch a datagram."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("sensor_bridge", SensorBridgeConfig, **node_arguments)
        RunStateKeeper(self)  # for the nodes that infer: any of those may die or hang
        config = self.config
        try:
            self._allowed = AllowList.parse(config.allowed_sources)
        except ValueError as error:
            raise ParameterError(f"parameter 'allowed_sources': {error}") from error
        self._limits = SensorLimits(config.force_limit, config.ascan_limit)
        self._sensor = self.add_stream("sensor")
        self._listening = Listening(time.monotonic())
        self._sender = OneSender(
            self._sensor, config.clock_mode, self._listening, "the sensor's host"
        )
        self._note_wire = self._sensor.timer("wire to topic", LONG_WAY)
        self._debug = DebugRecords(self, PACKET_PERIOD)
        self._batches = self.create_publisher(SensorBatch, "/sensor/samples", qos.SENSOR)
        try:
            self._socket = UdpReceiver(
                config.bind_address, config.port, config.receive_buffer, _TIMEOUT
            )
        except OSError as error:
            raise StartError(
                f"parameters 'bind_address' and 'port': cannot listen on UDP "
                f"{with_port(config.bind_address, config.port)}: {error}. Does another program, or "
                f"an earlier run, hold port {config.port}?"
            ) from error
        if self._socket.buffer_bytes < config.receive_buffer:
            self.get_logger().warning(
                f"the kernel gives {self._socket.buffer_bytes} of {config.receive_buffer} bytes "
                "of receive buffer: raise it with 'sysctl net.core.rmem_max="
                f"{config.receive_buffer}', or samples can be lost while the machine is busy"
            )
        self.add_worker("sensor socket", self._receive)
        self.get_logger().info(f"waiting for the sensor on UDP port {config.port}")

    def release(self) -> None:
        """Release the port."""
        self._socket.close()

    def _receive(self, stopping: threading.Event) -> None:
        """Socket thread: the only one that touches the socket."""
        while not stopping.is_set():
            self._listening.look(time.monotonic())
            datagram = self._socket.receive()
            if datagram is None:
                continue
            if datagram.dropped:
                self._sensor.problem(
                    "kernel drop",
                    "the kernel dropped datagrams because they were not read in time: raise "
                    "receive_buffer",
                    datagram.dropped,
                )
            if not self._allowed.allows(datagram.source):
                self._sensor.problem(
                    "foreign source",
                    f"a datagram from {datagram.source}, which is not in allowed_sources",
                )
                continue
            try:
                self._publish(datagram)
            except Exception as error:  # of this datagram; the next ones are read
                self._sensor.refuse(error)
            self.look()

    def _publish(self, datagram: Datagram) -> None:
        samples = SensorDatagram.unpack(datagram.data)
        self._limits.check(samples)
        stamps = self._sender.stamps_of(
            Sender(datagram.source, datagram.port, with_port(datagram.source, datagram.port))
        )
        if stamps is None:
            return
        newest = float(samples.times[-1])
        offset, clock = stamps.observe(newest, float(samples.send_times[-1]), datagram.receive_time)
        stamps.check()
        batch = sensor_batch(samples, offset, self.config.frame_id)
        batch.clock_uncertainty, batch.source_id = clock.uncertainty, self.source_id
        self._batches.publish(batch)
        self._sensor.accept(newest + offset, len(samples.times))
        handling = time.time() - datagram.receive_time
        self._note_wire(handling)
        self._debug.say(
            lambda: packet_line(
                "sensor",
                f"{len(samples.times)} samples from {datagram.source}",
                newest_time=newest,
                send_time=float(samples.send_times[-1]),
                receive_time=datagram.receive_time,
                offset=offset,
                clock=clock,
                handling=handling,
            )
        )


def main() -> int:
    """Run the node."""
    return run(SensorBridge)
