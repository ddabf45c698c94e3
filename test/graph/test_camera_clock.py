"""How the camera bridge brings frames with and without send times to this host's clock."""

from __future__ import annotations

import json
import socket
import time

import cv2
import numpy as np
import pytest
import zmq
from harness import Listener, free_port, running
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds

JPEG = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("age", "sent", "mode", "offset"),
    [
        (0.1, False, "trust", 0.0),  # a camera that is a little slow, and says no send time
        (5.0, False, "calibrate", 5.0),  # slow, or its clock is behind: nobody can tell
        (-1.5, False, "calibrate", -1.5),
        (5.0, True, "calibrate", 4.9),  # it took 0.1 s to send; its clock is behind
    ],
)
def test_a_cameras_clock_is_taken_by_what_it_sends(
    age: float, sent: bool, mode: str, offset: float, listener: Listener
) -> None:
    """``age`` is how old the frame seems on receipt."""
    port = free_port(socket.SOCK_STREAM)
    images = listener.listen(CompressedImage, "/camera/view1/image_raw/compressed")
    with (
        running("camera_bridge", port=port),
        zmq.Context() as context,
        context.socket(zmq.PUSH) as push,
    ):
        push.linger = 0
        push.connect(f"tcp://127.0.0.1:{port}")

        def send() -> None:
            timestamp = time.time() - age
            fields = {"send_time": timestamp + 0.1} if sent else {}
            text = {"camera": "zed_41182735_left", "timestamp": timestamp, **fields}
            push.send_multipart([json.dumps(text).encode(), JPEG])

        began = time.time()
        report = listener.report(
            "camera_bridge",
            "View1",
            lambda r: r.accepted > 50 and seconds(r.header.stamp) > began,  # of no node before
            send,
        )
        assert report.clock_mode == mode
        assert report.clock_offset == pytest.approx(offset, abs=0.02)
        assert report.clock_lower_bound == (mode == "calibrate" and not sent)
        true_age = seconds(report.header.stamp) - seconds(report.newest_stamp)
        assert true_age == pytest.approx(0.1 if sent or mode == "trust" else 0.0, abs=1.1)
        assert images
