"""Camera bridge: ZMQ frames in, compressed images out, undecoded, one topic a view."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import zmq
from sensor_msgs.msg import CompressedImage, Image

from vla_inference_ros.convert import compressed_image, header, image
from vla_inference_ros.core.views import ViewMap
from vla_inference_ros.core.wire import CAMERA_PORT, CameraFrame, WireError
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.vla_node import VlaNode, run
from vla_inference_ros.nodes.zmq_socket import bind, messages

DEFAULT_VIEW_MAP = [
    "View1=left+41182735",
    "View2=left+49429257",
    "View3=left+44377151",
    "View4=left+49045152",
    "View5=oak",
]


@dataclass(frozen=True, slots=True)
class CameraBridgeConfig:
    """Parameters of the camera bridge."""

    port: int = parameter(
        CAMERA_PORT,
        "TCP port of the ZMQ PULL socket that cameras push to",
        minimum=1,
        maximum=65535,
    )
    bind_address: str = parameter("*", "address to listen on; * for all")
    view_map: list[str] = parameter(
        DEFAULT_VIEW_MAP,
        "rules View=part+part: a camera whose name has all parts (any case) is that view",
    )
    max_pixels: int = parameter(
        16_000_000, "larger pictures are refused undecoded [pixels]", minimum=1, maximum=10**9
    )
    publish_raw: bool = parameter(
        False, "also decode every frame and publish image_raw (costs about 5 ms a 720p frame)"
    )


class CameraBridge(VlaNode[CameraBridgeConfig]):
    """Publishes ``/camera/viewN/image_raw/compressed``, and ``image_raw`` if asked to."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("camera_bridge", CameraBridgeConfig, **node_arguments)
        try:
            self._map = ViewMap(self.config.view_map)
        except ValueError as error:
            raise ParameterError(f"parameter 'view_map': {error}") from error
        # Messages that belong to no view: broken ones, and cameras that are not used.
        self._camera = self.add_stream("camera")
        self._views = {view: self.add_stream(view) for view in self._map.views}
        self._compressed = {
            view: self.create_publisher(CompressedImage, f"{_topic(view)}/compressed", qos.IMAGES)
            for view in self._map.views
        }
        self._raw = {
            view: self.create_publisher(Image, _topic(view), qos.IMAGES)
            for view in (self._map.views if self.config.publish_raw else [])
        }
        self._zmq = zmq.Context()
        self._socket = self._zmq.socket(zmq.PULL)
        bind(self._socket, self.config.bind_address, self.config.port)
        self.add_worker("camera socket", self._receive)
        self.get_logger().info(f"waiting for cameras on port {self.config.port}")

    def release(self) -> None:
        """Release the port."""
        self._zmq.destroy(linger=0)

    def _receive(self, stopping: threading.Event) -> None:
        """Socket thread: the only one that touches the socket."""
        for parts in messages(self._socket, stopping):
            try:
                self._publish(CameraFrame.unpack(parts, self.config.max_pixels))
            except WireError as error:
                self._camera.problem(error.kind, str(error))

    def _publish(self, frame: CameraFrame) -> None:
        view = self._map.view_of(frame.camera)
        if view is None:
            self._camera.ignore(f"camera {frame.camera[:60]!r} is no view and not used")
            return
        self._compressed[view].publish(compressed_image(frame, view.lower()))
        self._views[view].accept(frame.timestamp)
        if view in self._raw:
            self._publish_raw(view, frame)

    def _publish_raw(self, view: str, frame: CameraFrame) -> None:
        pixels = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            self._views[view].problem(
                "undecodable", f"a JPEG of camera {frame.camera!r} cannot be decoded"
            )
            return
        self._raw[view].publish(
            image(pixels.astype(np.uint8, copy=False), header(frame.timestamp, view.lower()))
        )


def _topic(view: str) -> str:
    return f"/camera/{view.lower()}/image_raw"


def main() -> int:
    """Run the node."""
    return run(CameraBridge)
