"""Camera senders that queue what nobody takes, and whose pictures say when they were taken."""

from __future__ import annotations

import struct
import threading
import time
from contextlib import ExitStack

import cv2
import numpy as np
import zmq

from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.sim.senders import CAMERA_NAMES

FPS = 15.0
QUEUE = 1000  # messages that ZMQ keeps for a receiver that is not there
_JPEG = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
_COMMENT = struct.Struct(">2sH4sd")  # a JPEG's comment: marker, length without that, ours, the time
_OURS = b"DATE"


def dated_jpeg(taken: float) -> bytes:
    """A picture that says when it was ``taken`` [Unix s]."""
    comment = _COMMENT.pack(b"\xff\xfe", _COMMENT.size - 2, _OURS, taken)
    return _JPEG[:2] + comment + _JPEG[2:]


def date_of(jpeg: bytes) -> float:
    """When a picture was taken [Unix s]."""
    _, _, ours, taken = _COMMENT.unpack_from(jpeg, 2)
    assert ours == _OURS
    return float(taken)


class DatedCameras:
    """Each camera with a socket of its own; their host's clock is ``skew`` [s] ahead of ours.

    They have been sending for ``seconds`` before they are made, to nobody. With ``sends_time`` each
    frame says when it was sent.
    """

    def __init__(
        self, port: int, seconds: float, *, skew: float = 0.0, sends_time: bool = True
    ) -> None:
        self._skew, self._sends_time = skew, sends_time
        self._stopping = threading.Event()
        self._resources = ExitStack()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._resources.callback(context.destroy, linger=0)
        self._sockets = []
        for _ in CAMERA_NAMES:
            push = context.socket(zmq.PUSH)
            push.set(zmq.SNDHWM, QUEUE)
            push.connect(f"tcp://127.0.0.1:{port}")
            self._sockets.append(push)
        self._next = time.time() - seconds
        self._send_what_is_due()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> DatedCameras:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._resources.close()

    def _run(self) -> None:
        while not self._stopping.wait(max(0.0, self._next - time.time())):
            self._send_what_is_due()

    def _send_what_is_due(self) -> None:
        while self._next <= time.time():
            for name, push in zip(CAMERA_NAMES, self._sockets, strict=True):
                stamp = self._next + self._skew
                frame = CameraFrame(
                    name, stamp, dated_jpeg(self._next), 64, 48, stamp if self._sends_time else None
                )
                try:
                    push.send_multipart(frame.pack(), zmq.NOBLOCK)
                except zmq.Again:
                    continue
            self._next += 1 / FPS
