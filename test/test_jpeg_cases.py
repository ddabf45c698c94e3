"""The kinds of JPEG that cameras send, at every place where a picture is judged: the same are taken
and the same refused everywhere.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import header
from vla_inference_ros.core import pictures
from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.export.dataset_picture import check_picture, dataset_picture
from vla_inference_ros.model import picture
from vla_inference_ros.model.interface import FrameError, View
from vla_inference_ros.recording.messages import camera_frame
from vla_inference_ros.recording.playable import check_playable
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.run_reader import RunFolder
from vla_inference_ros.recording.topics import IMAGES
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.report.thumbnails import small_jpeg
from vla_inference_ros.sim.jpeg_content import cut, emptied
from vla_inference_ros.sim.scene import PictureFormat
from vla_inference_ros.sim.source import FolderSource
from vla_inference_ros.web.picture import small_picture

CASES = {path.stem: path.read_bytes() for path in (Path(__file__).parent / "data/jpeg").iterdir()}
CUT = "noeoi"
WHOLE = sorted(CASES.keys() - {CUT})
CONTROL = CASES["base420"]
NOW = 1_700_000_000.0
# What stands behind an end marker: filling of buffers, another picture, markers without sense.
BEHIND = {
    "one byte": b"\0",
    "65 zeros": bytes(65),
    "512 of FF": b"\xff" * 512,
    "a megabyte": bytes(1 << 20),
    "another JPEG": CONTROL,
    "half a JPEG": CONTROL[: len(CONTROL) // 2],
    "end markers": b"\xff\xd9" * 50,
    "markers": bytes(range(256)) * 2 + b"\xff\xc0\xff\xda\xff\xc4",
}


def image(jpeg: bytes) -> CompressedImage:
    return CompressedImage(header=header(NOW), format="jpeg", data=array("B", jpeg))


def through_a_run_folder(jpeg: bytes, folder: Path) -> None:
    """Saved and read again."""
    writer = RunWriter(folder, NOW)
    writer.add_frame(Received(CameraFrame("c", NOW, jpeg, 640, 360), 0.0, NOW, "View1"))
    writer.close()
    (found,) = RunFolder(writer.folder, strict=True).frames()
    assert found.packet.jpeg == jpeg


def through_a_folder_of_pictures(jpeg: bytes, folder: Path) -> None:
    """As a simulated camera sends them."""
    (folder / "picture.jpg").write_bytes(jpeg)
    source = FolderSource(folder, PictureFormat())
    for _ in range(3):
        assert pictures.decode(source.jpeg(NOW)).pixels.shape == (360, 640, 3)


def by_the_wire(jpeg: bytes, _: Path) -> None:
    """As the camera bridge does."""
    parts = [json.dumps({"camera": "oak", "timestamp": NOW}).encode(), jpeg]
    found = CameraFrame.unpack(parts, 1_000_000)
    assert (found.width, found.height, found.jpeg) == (640, 360, jpeg)


def of_a_report(jpeg: bytes, _: Path) -> None:
    if small_jpeg(jpeg, 100) is None:
        raise ValueError("damaged")


def into_a_dataset(jpeg: bytes, _: Path) -> None:
    check_picture(jpeg)
    dataset_picture(jpeg)


Judge = Callable[[bytes, Path], object]
JUDGES: dict[str, Judge] = {
    "camera bridge": by_the_wire,
    "VLM": lambda jpeg, _: picture.decode(View("View1", NOW, jpeg)),
    "VLM's check": lambda jpeg, _: picture.check(View("View1", NOW, jpeg)),
    "VLM's watch": lambda jpeg, _: picture.brightness(View("View1", NOW, jpeg)),
    "web view": lambda jpeg, _: small_picture(jpeg),
    "report": of_a_report,
    "bag's reader": lambda jpeg, _: camera_frame(image(jpeg), None, "View1", NOW),
    "bag player": lambda jpeg, _: check_playable(IMAGES["View1"], image(jpeg)),
    "run folder": through_a_run_folder,
    "dataset": into_a_dataset,
    "simulated camera": through_a_folder_of_pictures,
}
# Those that look between the markers; the others leave it to them.
DECODERS = ("VLM", "VLM's check", "VLM's watch", "web view", "report", "dataset")


@pytest.mark.parametrize("place", JUDGES)
@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_one_is_taken_everywhere(place: str, case: str, tmp_path: Path) -> None:
    JUDGES[place](CASES[case], tmp_path)


@pytest.mark.parametrize("place", JUDGES)
@pytest.mark.parametrize("behind", BEHIND)
def test_what_stands_behind_the_end_is_ignored(place: str, behind: str, tmp_path: Path) -> None:
    JUDGES[place](CONTROL + BEHIND[behind], tmp_path)


@pytest.mark.parametrize("behind", BEHIND)
def test_what_stands_behind_the_end_changes_no_pixel_and_is_counted(behind: str) -> None:
    found = pictures.decode(CONTROL + BEHIND[behind])
    np.testing.assert_array_equal(found.pixels, pictures.decode(CONTROL).pixels)
    assert found.oddities == ("bytes behind the JPEG's end",)
    half = pictures.decode(CONTROL + BEHIND[behind], "RGB", (320, 180)).pixels
    np.testing.assert_array_equal(half, pictures.decode(CONTROL, "RGB", (320, 180)).pixels)


@pytest.mark.parametrize("place", JUDGES)
@pytest.mark.parametrize("padding", [b"\0", b"\xff\0", b"\xff"])
def test_padding_before_the_end_is_taken_everywhere(
    place: str, padding: bytes, tmp_path: Path
) -> None:
    JUDGES[place](CONTROL[:-2] + 100 * padding + CONTROL[-2:], tmp_path)


@pytest.mark.parametrize("place", DECODERS)
@pytest.mark.parametrize("padding", [0, 100])
def test_a_part_that_comes_twice_is_refused_wherever_pixels_are_made(
    place: str, padding: int, tmp_path: Path
) -> None:
    middle = len(CONTROL) // 2
    doubled = CONTROL[: middle + 310] + CONTROL[middle:-2] + bytes(padding) + CONTROL[-2:]
    with pytest.raises((ValueError, FrameError), match="damaged"):
        JUDGES[place](doubled, tmp_path)


@pytest.mark.parametrize("place", JUDGES)
@pytest.mark.parametrize("damage", [bytes, cut, emptied], ids=lambda each: each.__name__)
def test_arithmetic_coding_is_refused_everywhere(
    place: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    coded = damage(CONTROL.replace(b"\xff\xc0", b"\xff\xc9", 1))
    with pytest.raises((ValueError, FrameError), match=r"arithmetic-coded|damaged"):
        JUDGES[place](coded, tmp_path)


@pytest.mark.parametrize("place", JUDGES)
@pytest.mark.parametrize("padding", [0, 512])
def test_one_that_is_cut_is_refused_everywhere(place: str, padding: int, tmp_path: Path) -> None:
    with pytest.raises((ValueError, FrameError), match=r"no end marker: cut|damaged"):
        JUDGES[place](CASES[CUT] + bytes(padding), tmp_path)
