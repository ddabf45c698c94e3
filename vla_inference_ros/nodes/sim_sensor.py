"""Simulated sensor: force and OCT A-scans of the moving needle, sent as the sensor's host does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vla_inference_ros.core.wire import MAX_SAMPLES_PER_DATAGRAM, SENSOR_PORT, SENSOR_RATE
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.sim_node import SimNode
from vla_inference_ros.nodes.vla_node import StartError, run
from vla_inference_ros.sim.senders import SensorConfig, SensorSender


@dataclass(frozen=True, slots=True)
class SimSensorConfig:
    """Parameters of the simulated sensor."""

    host: str = parameter("127.0.0.1", "host of the sensor bridge")
    port: int = parameter(SENSOR_PORT, "UDP port of the sensor bridge", minimum=1, maximum=65535)
    rate: float = parameter(SENSOR_RATE, "samples per second [Hz]", minimum=1.0, maximum=10_000.0)
    samples_per_datagram: int = parameter(
        MAX_SAMPLES_PER_DATAGRAM,
        "samples in one datagram",
        minimum=1,
        maximum=MAX_SAMPLES_PER_DATAGRAM,
    )
    clock_skew: float = parameter(
        0.0, "how far the sensor host's clock is ahead of ours [s]", minimum=-1e6, maximum=1e6
    )


class SimSensor(SimNode[SimSensorConfig]):
    """Sends sensor datagrams."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("sim_sensor", SimSensorConfig, **node_arguments)
        config = self.config
        try:
            sender = SensorSender(
                SensorConfig(
                    config.host,
                    config.port,
                    config.rate,
                    config.samples_per_datagram,
                    config.clock_skew,
                )
            )
        except OSError as error:
            raise StartError(f"parameter 'host': {error}") from error
        self.send_with(sender, f"sensor at {config.rate:g} samples/s")


def main() -> int:
    """Run the node."""
    return run(SimSensor)
