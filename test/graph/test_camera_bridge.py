from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import pytest
import zmq
from harness import Listener, NodeProcess, failed_start, free_port, problems, running
from sensor_msgs.msg import CompressedImage, Image

from vla_inference_ros.convert import seconds
from vla_inference_ros.msg import StreamReport

Images = dict[str, list[CompressedImage]]

VIEWS = ["View1", "View2", "View3", "View4", "View5"]
CAMERAS = {
    "zed_41182735_left": "View1",
    "ZED_41182735_left": "View1",
    "zed_49429257_left": "View2",
    "zed_44377151_left": "View3",
    "left_49045152": "View4",
    "oak_CAM_A": "View5",
    "OAK": "View5",
}


def jpeg(seed: int, width: int = 64, height: int = 48) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def resized(data: bytes, width: int, height: int) -> bytes:
    """The same JPEG with another size in its header."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4 :]


def topic(view: str) -> str:
    return f"/camera/{view.lower()}/image_raw"


@dataclass
class Rig:
    """All cameras' sender, and how many frames it has sent; each has a stamp of its own."""

    socket: zmq.Socket[bytes]
    sent: int = 0

    def take_over(self, camera: str, listener: Listener, heard: list[CompressedImage]) -> None:
        """Send frames until the view is this camera's, and no longer another's."""
        stamps: set[float] = set()
        listener.spin_until(
            lambda: any(seconds(image.header.stamp) in stamps for image in heard),
            repeat=lambda: stamps.add(self.send(camera, jpeg(0))),
        )

    def send(self, camera: str, picture: bytes, *more: bytes) -> float:
        """Send a good frame; its timestamp."""
        self.sent += 1
        stamp = 1.7e9 + self.sent / 64
        self.socket.send_multipart([header(camera, stamp), picture, *more])
        return stamp


def header(camera: object, timestamp: object) -> bytes:
    return json.dumps({"camera": camera, "timestamp": timestamp, "size": 1}).encode()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port(socket.SOCK_STREAM)


@pytest.fixture(scope="module")
def bridge(port: int) -> Iterator[NodeProcess]:
    with running("camera_bridge", clock_modes=["trust"], port=port, publish_raw=True) as node:
        yield node


@pytest.fixture(scope="module")
def rig(port: int) -> Iterator[Rig]:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.set(zmq.LINGER, 0)
        push.connect(f"tcp://127.0.0.1:{port}")
        yield Rig(push)


@pytest.fixture(scope="module")
def images(bridge: NodeProcess, rig: Rig, listener: Listener) -> Images:
    """The compressed images of each view, once all of its topics are connected."""
    compressed = {
        view: listener.listen(CompressedImage, f"{topic(view)}/compressed") for view in VIEWS
    }
    raw = [listener.listen(Image, topic(view)) for view in VIEWS]
    names = {view: camera for camera, view in CAMERAS.items()}
    listener.spin_until(
        lambda: all(compressed.values()) and all(raw),
        repeat=lambda: [rig.send(names[view], jpeg(0)) for view in VIEWS],
    )
    return compressed


def arrival(listener: Listener, images: Images, view: str, stamp: float) -> CompressedImage:
    """The image of a stamp, waited for."""

    def found() -> list[CompressedImage]:
        return [image for image in images[view] if seconds(image.header.stamp) == stamp]

    listener.spin_until(found)
    assert len(found()) == 1
    return found()[0]


@pytest.mark.parametrize(("camera", "view"), CAMERAS.items())
def test_a_frame_passes_through_unchanged_to_its_view(
    camera: str,
    view: str,
    rig: Rig,
    images: Images,
    listener: Listener,
) -> None:
    picture = jpeg(1)
    rig.take_over(camera, listener, images[view])
    image = arrival(listener, images, view, rig.send(camera, picture))
    assert image.data.tobytes() == picture
    assert image.format == "jpeg"
    assert image.header.frame_id == view.lower()


def test_a_frame_of_the_rigs_size_passes_through_unchanged(
    rig: Rig, images: Images, listener: Listener
) -> None:
    picture = jpeg(1, 1280, 720)
    assert len(picture) > 150_000
    rig.take_over("zed_41182735_left", listener, images["View1"])
    image = arrival(listener, images, "View1", rig.send("zed_41182735_left", picture))
    assert image.data.tobytes() == picture


def test_further_parts_are_ignored(rig: Rig, images: Images, listener: Listener) -> None:
    picture = jpeg(2)
    rig.take_over("oak", listener, images["View5"])
    image = arrival(listener, images, "View5", rig.send("oak", picture, b"depth", b""))
    assert image.data.tobytes() == picture


def test_a_raw_image_is_the_picture_decoded(rig: Rig, images: Images, listener: Listener) -> None:
    raw = listener.listen(Image, topic("View2"))
    picture = jpeg(3)
    stamp = rig.send("zed_49429257_left", picture)
    listener.spin_until(lambda: raw and seconds(raw[-1].header.stamp) == stamp)
    image = raw[-1]
    assert (image.width, image.height, image.step) == (64, 48, 3 * 64)
    assert image.encoding == "bgr8"
    assert image.header.frame_id == "view2"
    pixels = np.frombuffer(image.data, np.uint8).reshape(48, 64, 3)
    expected = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(pixels, expected)


def test_cameras_that_are_no_view_are_counted_and_not_published(
    bridge: NodeProcess,
    rig: Rig,
    images: Images,
    listener: Listener,
) -> None:
    before = listener.report("camera_bridge", "camera").ignored
    names = ["zed_41182735_right", "zed_49429257_right", "left", "zed_11111111_left", ""]
    stamps = {rig.send(name, jpeg(4)) for name in names for _ in range(10)}
    listener.report(
        "camera_bridge", "camera", lambda report: report.ignored == before + len(stamps)
    )
    assert not stamps & {seconds(image.header.stamp) for view in VIEWS for image in images[view]}
    for name in names:
        assert 1 <= len(bridge.said(f"camera {name!r} is no view")) <= 2


def _has_rejected(count: int, report: StreamReport) -> bool:
    return bool(report.rejected == count)


def test_bad_input_is_counted_and_nothing_good_beside_it_is_lost(
    bridge: NodeProcess,
    rig: Rig,
    images: Images,
    listener: Listener,
) -> None:
    good = jpeg(5)
    bad: dict[str, list[list[bytes]]] = {
        "part count": [[header("oak", 1.7e9)], [b""]],
        "bad JSON": [
            [b"", good],
            [b"\xff\xfe", good],
            [b"{", good],
            [b"[" * 60_000, good],
            [b"3", good],
            [b'{"timestamp": 1.7e9}', good],
            [header(5, 1.7e9), good],
            [header("oak", "1.7e9"), good],
            [header("oak", None), good],
            [header("oak", True), good],
            [b'{"camera": "oak"}', good],
        ],
        "bad time": [
            [header("oak", float("nan")), good],
            [header("oak", 10**400), good],
            [header("oak", -1.0), good],
            [header("oak", 1.7e12), good],  # milliseconds
            [header("oak", 4e9), good],  # later than ROS time can say
        ],
        "bad JPEG": [
            [header("oak", 1.7e9), b""],
            [header("oak", 1.7e9), b"no picture"],
            [header("oak", 1.7e9), good[: len(good) // 2]],
            [header("oak", 1.7e9), b"\xff\xd8\xff\xd9"],
            [header("oak", 1.7e9), resized(good, 0, 48)],
        ],
        "JPEG too large": [[header("oak", 1.7e9), resized(good, 65535, 65535)]],
    }
    before = {view: listener.report("camera_bridge", view) for view in [*VIEWS, "camera"]}
    for messages in bad.values():
        for parts in messages:
            for _ in range(20):
                rig.socket.send_multipart(parts)
            arrival(listener, images, "View1", rig.send("zed_41182735_left", good))
    named = {
        kind: 20 * count
        for kind, messages in bad.items()
        if (count := sum(b'"oak"' in parts[0] and len(parts) == 2 for parts in messages))
    }
    of_no_view = {kind: 20 * len(messages) - named.get(kind, 0) for kind, messages in bad.items()}
    assert named["bad JSON"] == 80
    for stream, counts in (("camera", of_no_view), ("View5", named)):
        expected = {kind: count for kind, count in counts.items() if count}
        report = listener.report(
            "camera_bridge",
            stream,
            partial(_has_rejected, before[stream].rejected + sum(expected.values())),
        )
        assert problems(report) == problems(before[stream]) | expected
    for view in VIEWS:
        sent = sum(map(len, bad.values())) if view == "View1" else 0
        assert listener.report("camera_bridge", view).accepted == before[view].accepted + sent
    for kind in bad:  # the first at once, the next only seconds later
        assert 1 <= len(bridge.said(f"({kind}: ")) <= 5


def test_a_picture_broken_inside_is_counted_where_it_is_decoded(
    rig: Rig, images: Images, listener: Listener
) -> None:
    raw = listener.listen(Image, topic("View3"))
    whole = jpeg(6)
    tables = whole.index(b"\xff\xdb")
    broken = whole[:tables] + b"\xff\xfe" + whole[tables + 2 :]  # without quantization tables
    camera = "zed_44377151_left"
    stamp = rig.send(camera, broken)
    assert arrival(listener, images, "View3", stamp).data.tobytes() == broken
    report = listener.report("camera_bridge", "View3", lambda report: report.rejected > 0)
    assert problems(report) == {"damaged picture": 1}
    stamp = rig.send(camera, whole)
    listener.spin_until(lambda: raw and seconds(raw[-1].header.stamp) == stamp)


def test_a_sender_may_go_away_and_come_back(port: int, images: Images, listener: Listener) -> None:
    for round_ in range(3):
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.connect(f"tcp://127.0.0.1:{port}")
            camera = Rig(push, sent=10**6 * (1 + round_))
            camera.take_over("oak", listener, images["View5"])


def test_senders_may_be_there_before_the_node_and_outlive_it(listener: Listener) -> None:
    port = free_port(socket.SOCK_STREAM)
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.set(zmq.LINGER, 0)
        push.connect(f"tcp://127.0.0.1:{port}")
        for index in range(100):
            push.send_multipart([header("oak", 1.9e9 + index), jpeg(8)])
        with running("camera_bridge", clock_modes=["trust"], port=port):
            report = listener.report("camera_bridge", "View5", lambda r: r.accepted == 100)
            assert seconds(report.newest_stamp) == 1.9e9 + 99
            assert report.ready
        heard = listener.listen(CompressedImage, f"{topic('View5')}/compressed")
        with running("camera_bridge", clock_modes=["trust"], port=port):
            listener.spin_until(
                lambda: any(seconds(image.header.stamp) == 1.9e9 + 500 for image in heard),
                repeat=lambda: push.send_multipart([header("oak", 1.9e9 + 500), jpeg(8)]),
            )


def test_the_map_of_views_is_configuration(listener: Listener) -> None:
    port = free_port(socket.SOCK_STREAM)
    heard = listener.listen(CompressedImage, "/camera/wrist/image_raw/compressed")
    with (
        running("camera_bridge", clock_modes=["trust"], port=port, view_map=["Wrist=usb+3"]),
        zmq.Context() as context,
        context.socket(zmq.PUSH) as push,
    ):
        push.connect(f"tcp://127.0.0.1:{port}")
        listener.spin_until(
            lambda: heard,
            repeat=lambda: push.send_multipart([header("USB-3", time.time()), jpeg(9)]),
        )


def test_clock_modes_that_cannot_be_used_are_named() -> None:
    for modes in (["always"], ["trust", "View9=trust"], ["trust", "View1=always"]):
        line = failed_start("camera_bridge", clock_modes=modes)
        assert "'clock_modes'" in line


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        line = failed_start("camera_bridge", port=port)
    assert "'port'" in line
    assert str(port) in line
    assert "in use" in line


def test_parameters_that_cannot_be_used_are_named() -> None:
    assert "'view_map'" in failed_start("camera_bridge", view_map=["View1"])
    assert "'bind_address'" in failed_start("camera_bridge", bind_address="no such host")
