"""Two cameras of one program, on one connection, are two however much alike their names are."""

from __future__ import annotations

import time
import unicodedata

import cv2
import numpy as np
import pytest
from harness import Listener, problems
from wire_streams import PICTURE, camera_stream, header

from vla_inference_ros.nodes.one_sender import SECOND_SOURCE

OTHER = cv2.imencode(".jpg", np.full((16, 24, 3), 200, np.uint8))[1].tobytes()
LONG = "/dev/v4l/by-id/usb-Technologies_Stereolabs_ZED_2i_OV0001_left_41182735_"
ACCENT = "caméra_left_41182735"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"{LONG}primary", f"{LONG}backup_other_place"),
        (f"{LONG}1{'x' * 60}", f"{LONG}2{'x' * 60}"),
        (unicodedata.normalize("NFC", ACCENT), unicodedata.normalize("NFD", ACCENT)),
        ("zed_left_41182735", "ZED_left_41182735"),
        ("zed_left_41182735", "zed_left_41182735 "),
    ],
)
def test_a_camera_is_told_by_its_whole_name(first: str, second: str, listener: Listener) -> None:
    with camera_stream() as (_, stream):
        topic, kind = next(iter(stream.topics.items()))
        pictures = listener.listen(kind, topic)

        def send() -> None:
            stream.send([header(camera=first, timestamp=time.time()), PICTURE])
            stream.send([header(camera=second, timestamp=time.time()), OTHER])

        listener.spin_until(lambda: pictures, send)
        report = listener.report("camera_bridge", "View1", lambda r: r.accepted > 20, send)
        assert problems(report)[SECOND_SOURCE] > 10
        (trouble,) = [each for each in report.troubles if "sends as well" in each]
        assert len(trouble) < 200
        assert {picture.data.tobytes() for picture in pictures} == {PICTURE}
