"""Camera bridge: ZMQ frames in, compressed images out, undecoded, one topic a view.

The socket's thread takes frames in as fast as they come and stamps them; another publishes them. If
that one lags, the oldest frames of a view go, and never another view's. A picture has no field for
how sure its stamp is, so it waits until its sender's clock is known.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import zmq
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vla_inference_ros.convert import compressed_image, frame_info, image
from vla_inference_ros.core.address import LISTEN_ON
from vla_inference_ros.core.clock import CLOCK_MODES, ClockReading
from vla_inference_ros.core.newest import NewestItems
from vla_inference_ros.core.pictures import decode
from vla_inference_ros.core.printable import short
from vla_inference_ros.core.source import Sender
from vla_inference_ros.core.troubles import DAMAGED
from vla_inference_ros.core.views import ViewMap
from vla_inference_ros.core.wire import CAMERA_PORT, CameraFrame
from vla_inference_ros.msg import FrameInfo
from vla_inference_ros.nodes import curve_parameters, qos
from vla_inference_ros.nodes.dds_profile import LARGE_SEGMENT
from vla_inference_ros.nodes.debug_lines import PACKET_PERIOD, packet_line
from vla_inference_ros.nodes.one_sender import OneSender
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.run_state import RunStateKeeper
from vla_inference_ros.nodes.sender_stamps import CLOCK_MODE, LONG_WAY
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.threads import ThreadConfig
from vla_inference_ros.nodes.unstamped_frames import UnstampedFrames
from vla_inference_ros.nodes.verbosity import DebugRecords
from vla_inference_ros.nodes.vla_node import VlaNode, run
from vla_inference_ros.nodes.zmq_socket import ZmqReceiver

_MOST_WAITING = 100  # frames of a view; more than three seconds at the full rate
_MOST_UNSTAMPED = 40  # that wait for their clock: as long as learning it takes, at that rate
_LOOK_PERIOD = 0.1  # how often the publishing thread looks whether it should stop [s]
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
    bind_address: str = parameter("*", LISTEN_ON)
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


@dataclass(frozen=True, slots=True)
class _Stamped:
    """A frame on its way to its topic; ``offset`` [s] is to be added to its times, and ``waited``
    says whether it had to until that was known.
    """

    view: str
    frame: CameraFrame
    received: float
    offset: float
    clock: ClockReading
    waited: bool


class CameraBridge(VlaNode[CameraBridgeConfig]):
    """Publishes ``/camera/viewN/image_raw/compressed``, ``image_raw`` if asked to, and
    ``/camera/frame_info`` for recorders.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("camera_bridge", CameraBridgeConfig, **node_arguments)
        RunStateKeeper(self)  # for the nodes that infer: any of those may die or hang
        try:
            self._map = ViewMap(self.config.view_map)
        except ValueError as error:
            raise ParameterError(f"parameter 'view_map': {error}") from error
        # Messages that belong to no view: broken ones, and cameras that are not used.
        self._camera = self.add_stream("camera")
        self._note_wire = self._camera.timer("wire to topic", LONG_WAY)
        self._views = {view: self.add_stream(view) for view in self._map.views}
        self._debug = {view: DebugRecords(self, PACKET_PERIOD) for view in self._map.views}
        modes = _clock_modes(self.config.clock_modes, self._map.views)
        self._unstamped = {
            view: UnstampedFrames(stream, _MOST_UNSTAMPED) for view, stream in self._views.items()
        }
        self._waiting: NewestItems[_Stamped] = NewestItems(_MOST_WAITING)
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
        self._senders = {
            view: OneSender(stream, modes[view], self._socket.listening)
            for view, stream in self._views.items()
        }
        self._socket.bind(self.config.bind_address, self.config.port, keys)
        self.add_worker("camera pictures", self._publish_waiting)
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
                self._take(CameraFrame.unpack(parts, self.config.max_pixels), received)
            except Exception as error:  # of this message; the next ones are read
                view = self._map.view_of(getattr(error, "camera", ""))
                (self._views[view] if view else self._camera).refuse(error)

    def _take(self, frame: CameraFrame, received: float) -> None:
        view = self._map.view_of(frame.camera)
        if view is None:
            self._camera.ignore(f"camera {short(frame.camera)!r} is no view and not used")
            return
        stream, peer = self._views[view], self._socket.peer
        camera = f"camera {short(frame.camera)!r}"
        stamps = self._senders[view].stamps_of(
            Sender(f"{camera} at {peer.address}", peer.connection, f"{camera} at {peer}")
        )
        if stamps is None:
            return
        offset, clock = stamps.observe(frame.timestamp, frame.send_time, received)
        if not clock.calibrated:
            if self._unstamped[view].add(stamps, frame, received):
                self._tell_of_backlog(stream, _MOST_UNSTAMPED)
            return
        ready = self._unstamped[view].take(stamps, offset)
        if stamps.known:
            ready.append((frame, received))
        else:
            stream.held_back += 1
        for each, when in ready:
            stamped = _Stamped(view, each, when, offset, clock, waited=each is not frame)
            if self._waiting.put(view, stamped):
                self._tell_of_backlog(stream, _MOST_WAITING)

    def _tell_of_backlog(self, stream: Stream, most: int) -> None:
        stream.problem(
            "backlog",
            f"more than {most} frames wait to be published: the oldest is dropped. After "
            "a pause a sender's queue comes at once; else this machine is too slow",
        )

    def _publish_waiting(self, stopping: threading.Event) -> None:
        """Publishing thread."""
        while not stopping.is_set():
            stamped = self._waiting.take(_LOOK_PERIOD)
            if stamped is not None:
                try:
                    self._publish(stamped)
                except Exception as error:  # of this frame; the next ones are published
                    self._views[stamped.view].refuse(error)
            self.look()

    def _publish(self, stamped: _Stamped) -> None:
        view, frame, offset = stamped.view, stamped.frame, stamped.offset
        message = compressed_image(frame, offset, view.lower())
        if self._info.get_subscription_count():  # for recorders: it tells no one else anything
            info = frame_info(frame, offset, message.header)
            info.clock_uncertainty = stamped.clock.uncertainty
            self._info.publish(info)
        self._compressed[view].publish(message)
        self._views[view].accept(frame.timestamp + offset)
        handling = time.time() - stamped.received
        if not stamped.waited:
            self._note_wire(handling)
        self._debug[view].say(
            lambda: packet_line(
                view,
                f"a frame of {len(frame.jpeg)} bytes from camera {short(frame.camera)!r}",
                newest_time=frame.timestamp,
                send_time=frame.send_time,
                receive_time=stamped.received,
                offset=offset,
                clock=stamped.clock,
                handling=handling,
            )
        )
        if view in self._raw:
            self._publish_raw(view, frame, message.header)

    def _publish_raw(self, view: str, frame: CameraFrame, stamp: Header) -> None:
        try:
            pixels = decode(frame.jpeg, "BGR").pixels
        except ValueError as error:
            self._views[view].problem(
                DAMAGED, f"no raw picture of camera {short(frame.camera)!r}: {error}"
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
    return run(CameraBridge, LARGE_SEGMENT)
