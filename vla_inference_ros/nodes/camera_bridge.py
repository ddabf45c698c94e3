"""Camera bridge: ZMQ frames in, compressed images out, undecoded, one topic a view."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import zmq
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vla_inference_ros.convert import compressed_image, frame_info, image
from vla_inference_ros.core.bounded import BoundedTable
from vla_inference_ros.core.clock import CLOCK_MODES
from vla_inference_ros.core.pictures import decode
from vla_inference_ros.core.troubles import DAMAGED
from vla_inference_ros.core.views import ViewMap
from vla_inference_ros.core.wire import CAMERA_PORT, CameraFrame, WireError
from vla_inference_ros.msg import FrameInfo
from vla_inference_ros.nodes import curve_parameters, qos
from vla_inference_ros.nodes.debug_lines import PACKET_PERIOD, packet_line
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.sender_stamps import CLOCK_MODE, LONG_WAY, SenderStamps
from vla_inference_ros.nodes.threads import ThreadConfig
from vla_inference_ros.nodes.verbosity import DebugRecords
from vla_inference_ros.nodes.vla_node import VlaNode, run
from vla_inference_ros.nodes.zmq_socket import ZmqReceiver

_MOST_CAMERAS = 64  # camera names whose clocks are followed
_FORGOTTEN_AFTER = 5.0  # a silent camera's clock, when another camera needs its place [s]
DEFAULT_VIEW_MAP = [
    "View1=left+41182735",
    "View2=left+49429257",
    "View3=left+44377151",
    "View4=left+49045152",
    "View5=oak",
]


@dataclass(frozen=True, slots=True)
class CameraBridgeConfig(ThreadConfig):
    """Parameters of the camera bridge."""

    port: int = parameter(
        CAMERA_PORT,
        "TCP port of the ZMQ PULL socket that cameras push to",
        minimum=1,
        maximum=65535,
    )
    bind_address: str = parameter("*", "address to listen on; * for all")
    curve_certificate: str = parameter("", curve_parameters.CERTIFICATE)
    curve_clients: str = parameter("", curve_parameters.CLIENTS)
    view_map: list[str] = parameter(
        DEFAULT_VIEW_MAP,
        "rules View=part+part: a camera whose name has all parts (any case) is that view",
    )
    clock_modes: list[str] = parameter(
        ["calibrate"],
        f"{CLOCK_MODE}; one mode for all views, then exceptions such as View5=trust",
    )
    max_message_bytes: int = parameter(
        16 << 20,
        "messages with a larger part are dropped unread [bytes]",
        minimum=65536,
        maximum=1 << 30,
    )
    max_pixels: int = parameter(
        16_000_000, "larger pictures are refused undecoded [pixels]", minimum=1, maximum=10**9
    )
    publish_raw: bool = parameter(
        False, "also decode every frame and publish image_raw (costs about 5 ms a 720p frame)"
    )


class CameraBridge(VlaNode[CameraBridgeConfig]):
    """Publishes ``/camera/viewN/image_raw/compressed``, ``image_raw`` if asked to, and
    ``/camera/frame_info`` for recorders.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("camera_bridge", CameraBridgeConfig, **node_arguments)
        try:
            self._map = ViewMap(self.config.view_map)
        except ValueError as error:
            raise ParameterError(f"parameter 'view_map': {error}") from error
        # Messages that belong to no view: broken ones, and cameras that are not used.
        self._camera = self.add_stream("camera")
        self._note_wire = self._camera.timer("wire to topic", LONG_WAY)
        self._views = {view: self.add_stream(view) for view in self._map.views}
        self._debug = {view: DebugRecords(self, PACKET_PERIOD) for view in self._map.views}
        self._clock_modes = _clock_modes(self.config.clock_modes, self._map.views)
        # Of each camera's host, by the camera's name.
        self._clocks = BoundedTable[str, SenderStamps](_MOST_CAMERAS, _FORGOTTEN_AFTER)
        self._compressed = {
            view: self.create_publisher(CompressedImage, f"{_topic(view)}/compressed", qos.IMAGES)
            for view in self._map.views
        }
        self._info = self.create_publisher(FrameInfo, "/camera/frame_info", qos.FRAME_INFO)
        self._raw = {
            view: self.create_publisher(Image, _topic(view), qos.IMAGES)
            for view in (self._map.views if self.config.publish_raw else [])
        }
        keys = curve_parameters.server_keys(
            self, self.config.curve_certificate, self.config.curve_clients
        )
        self._socket = ZmqReceiver(
            zmq.PULL,
            self._camera,
            self.config.max_message_bytes,
            "raise max_message_bytes if a camera really sends so much",
        )
        self._socket.bind(self.config.bind_address, self.config.port, keys)
        self.add_worker("camera socket", self._receive)
        self.get_logger().info(f"waiting for cameras on port {self.config.port}")

    def release(self) -> None:
        """Release the port."""
        self._socket.close()

    def _receive(self, stopping: threading.Event) -> None:
        """Socket thread: the only one that touches the socket."""
        for parts in self._socket.messages(stopping):
            received = time.time()
            try:
                self._publish(CameraFrame.unpack(parts, self.config.max_pixels), received)
            except Exception as error:  # of this message; the next ones are read
                view = self._map.view_of(getattr(error, "camera", ""))
                (self._views[view] if view else self._camera).refuse(error)
            self.look()

    def _publish(self, frame: CameraFrame, received: float) -> None:
        view = self._map.view_of(frame.camera)
        if view is None:
            self._camera.ignore(f"camera {frame.camera[:60]!r} is no view and not used")
            return
        offset, clock = self._clock_of(frame.camera, view).observe(
            frame.timestamp, frame.send_time, received
        )
        message = compressed_image(frame, offset, view.lower())
        if self._info.get_subscription_count():  # for recorders: it tells no one else anything
            info = frame_info(frame, offset, message.header)
            info.clock_uncertainty = clock.uncertainty
            self._info.publish(info)
        self._compressed[view].publish(message)
        self._views[view].accept(frame.timestamp + offset)
        handling = time.time() - received
        self._note_wire(handling)
        self._debug[view].say(
            lambda: packet_line(
                view,
                f"a frame of {len(frame.jpeg)} bytes from camera {frame.camera[:60]!r}",
                newest_time=frame.timestamp,
                send_time=frame.send_time,
                receive_time=received,
                offset=offset,
                clock=clock,
                handling=handling,
            )
        )
        if view in self._raw:
            self._publish_raw(view, frame, message.header)

    def _clock_of(self, camera: str, view: str) -> SenderStamps:
        now = time.monotonic()
        if not self._clocks.has_place(camera, now):
            raise WireError(
                "too many cameras",
                f"camera {camera[:60]!r} is one more than {_MOST_CAMERAS} names: "
                "does a sender change its name with every frame?",
            )
        clock = self._clocks.get(camera) or SenderStamps(
            self._views[view], self._clock_modes[view], f"camera {camera[:60]!r}"
        )
        self._clocks.put(camera, clock, now)
        return clock

    def _publish_raw(self, view: str, frame: CameraFrame, stamp: Header) -> None:
        try:
            pixels = decode(frame.jpeg, "BGR").pixels
        except ValueError as error:
            self._views[view].problem(
                DAMAGED, f"no raw picture of camera {frame.camera[:60]!r}: {error}"
            )
            return
        self._raw[view].publish(image(pixels, stamp))


def _clock_modes(entries: list[str], views: list[str]) -> dict[str, str]:
    """The clock mode of each view; ParameterError if the parameter does not give that."""
    modes = dict.fromkeys(views, entries[0])
    for entry in entries[1:]:
        view, _, mode = entry.partition("=")
        if view not in modes:
            raise ParameterError(
                f"parameter 'clock_modes': {entry!r} is not of the form View5=trust, of a view of "
                "view_map"
            )
        modes[view] = mode
    for mode in modes.values():
        if mode not in CLOCK_MODES:
            raise ParameterError(
                f"parameter 'clock_modes': {mode!r} is not one of {', '.join(CLOCK_MODES)}"
            )
    return modes


def _topic(view: str) -> str:
    return f"/camera/{view.lower()}/image_raw"


def main() -> int:
    """Run the node."""
    return run(CameraBridge)
