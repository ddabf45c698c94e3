"""Simulated robot: a smooth joint path, published as the robot's host publishes its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vla_inference_ros.core.address import LISTEN_ON
from vla_inference_ros.core.wire import ROBOT_PORT
from vla_inference_ros.nodes import curve_parameters
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.sim_node import SimNode
from vla_inference_ros.nodes.vla_node import StartError, run
from vla_inference_ros.sim.senders import RobotConfig, RobotSender


@dataclass(frozen=True, slots=True)
class SimRobotConfig:
    """Parameters of the simulated robot."""

    bind_address: str = parameter("*", LISTEN_ON)
    port: int = parameter(
        ROBOT_PORT, "port that the robot bridge connects to", minimum=1, maximum=65535
    )
    curve_certificate: str = parameter("", curve_parameters.CERTIFICATE)
    curve_clients: str = parameter("", curve_parameters.CLIENTS)
    rate: float = parameter(100.0, "packets per second [Hz]", minimum=0.1, maximum=1000.0)


class SimRobot(SimNode[SimRobotConfig]):
    """Publishes robot packets."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("sim_robot", SimRobotConfig, **node_arguments)
        config = self.config
        keys = curve_parameters.server_keys(self, config.curve_certificate, config.curve_clients)
        try:
            sender = RobotSender(RobotConfig(config.bind_address, config.port, config.rate, keys))
        except OSError as error:
            raise StartError(f"parameters 'bind_address' and 'port': {error}") from error
        self.send_with(sender, f"robot at {config.rate:g} Hz")


def main() -> int:
    """Run the node."""
    return run(SimRobot)
