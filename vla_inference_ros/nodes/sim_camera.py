"""Simulated cameras: the scene, or real pictures, sent as the rig's cameras send theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vla_inference_ros.core.wire import CAMERA_PORT
from vla_inference_ros.nodes import curve_parameters
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.sim_node import SimNode
from vla_inference_ros.nodes.vla_node import StartError, run
from vla_inference_ros.sim.scene import PictureFormat
from vla_inference_ros.sim.senders import CAMERA_NAMES, CameraConfig, CameraSender
from vla_inference_ros.sim.source import SourceError


@dataclass(frozen=True, slots=True)
class SimCameraConfig:
    """Parameters of the simulated cameras."""

    host: str = parameter("127.0.0.1", "host of the camera bridge")
    port: int = parameter(CAMERA_PORT, "port of the camera bridge", minimum=1, maximum=65535)
    curve_certificate: str = parameter("", curve_parameters.CERTIFICATE)
    curve_server: str = parameter("", curve_parameters.SERVER)
    cameras: list[str] = parameter(list(CAMERA_NAMES), "names that the cameras send")
    source: list[str] = parameter(
        [""] * len(CAMERA_NAMES),
        "pictures of each camera: '' for the drawn scene, a folder of images, a video file, or a "
        "V4L2 camera such as /dev/video0",
    )
    fps: float = parameter(
        15.0, "frames per second of each camera [Hz]", minimum=0.1, maximum=240.0
    )
    width: int = parameter(1280, "picture width [pixels]", minimum=64, maximum=8192)
    height: int = parameter(720, "picture height [pixels]", minimum=64, maximum=8192)
    quality: int = parameter(72, "JPEG quality", minimum=1, maximum=100)
    jpeg_bytes: int = parameter(
        150_000,
        "size that the scene's texture is tuned to, 0 for no texture [bytes]",
        minimum=0,
        maximum=10_000_000,
    )
    pool: int = parameter(
        0,
        "0 draws every frame live; N draws N frames a camera at the start and sends them in turn, "
        "which needs little CPU",
        minimum=0,
        maximum=1000,
    )


class SimCamera(SimNode[SimCameraConfig]):
    """Pushes frames to the camera bridge."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("sim_camera", SimCameraConfig, **node_arguments)
        config = self.config
        keys = curve_parameters.client_keys(self, config.curve_certificate, config.curve_server)
        try:
            sender = CameraSender(
                CameraConfig(
                    host=config.host,
                    port=config.port,
                    names=tuple(config.cameras),
                    fps=config.fps,
                    picture=PictureFormat(
                        config.width, config.height, config.quality, config.jpeg_bytes
                    ),
                    sources=tuple(config.source[: len(config.cameras)]),
                    pool=config.pool,
                    keys=keys,
                )
            )
        except SourceError as error:
            raise ParameterError(f"parameter 'source': {error}") from error
        except OSError as error:
            raise StartError(f"parameter 'host': {error}") from error
        self.send_with(sender, f"{len(config.cameras)} cameras at {config.fps:g} Hz")


def main() -> int:
    """Run the node."""
    return run(SimCamera)
