"""A dataset's pictures are what its info.json declares, whichever library reads them."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fake_recording import HEIGHT, WIDTH, FakeRecording
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vla_inference_ros.core.pictures import decode
from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.export.dataset_picture import dataset_picture
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.recording.odd import Odd, RecordingError
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.sim.jpeg_content import cut

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow, an extra, is not installed")

from vla_inference_ros.export.to_lerobot import to_lerobot  # noqa: E402

DATA = Path(__file__).parents[1] / "data"
WHOLE = [path for path in sorted((DATA / "jpeg").glob("*.jpg")) if path.stem != "noeoi"]
CONTROL = (DATA / "jpeg" / "base420.jpg").read_bytes()


def read(data: bytes) -> NDArray[np.uint8]:
    """As the datasets library reads a picture: in its own mode, turned as its tag says."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))


def with_segment(data: bytes, content: bytes) -> bytes:
    """With metadata (APP1) before all else."""
    return data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content + data[2:]


def exif(orientation: int, order: str) -> bytes:
    """Of one tag, 0x112, in the byte order ``<`` or ``>`` (TIFF 6.0)."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HI", 42, 8)
    entry = struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)
    return b"Exif\0\0" + head + struct.pack(order + "H", 1) + entry + bytes(4)


XMP = b'http://ns.adobe.com/xap/1.0/\0<x xmlns:tiff="t" tiff:Orientation="6"/>'


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_every_reader_sees_the_pixels_that_the_models_see(path: Path) -> None:
    data, suffix = dataset_picture(path.read_bytes())
    seen = decode(path.read_bytes()).pixels
    found = read(data)
    assert found.shape == seen.shape == (360, 640, 3)
    assert np.abs(found.astype(int) - seen).max() <= (0 if suffix == ".png" else 2)
    assert suffix == (".png" if path.stem in ("gray", "cmyk") else ".jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", "<>")
def test_no_tag_turns_a_picture(orientation: int, order: str) -> None:
    tagged = with_segment(CONTROL, exif(orientation, order))
    if orientation > 1:
        assert not np.array_equal(read(tagged), read(CONTROL))
    assert dataset_picture(tagged) == (CONTROL, ".jpg")
    assert dataset_picture(with_segment(tagged, XMP)) == (CONTROL, ".jpg")


def test_an_ordinary_picture_stays_byte_for_byte() -> None:
    assert dataset_picture(CONTROL)[0] is CONTROL


class Recording(FakeRecording):
    """Whose pictures of View2 are others, from number to number."""

    def __init__(self, *given: bytes) -> None:
        super().__init__()
        self.given = given
        self.odd = Odd()

    def frames(self) -> Iterator[Received[CameraFrame]]:
        number = 0
        for each in super().frames():
            if each.view == "View2":
                jpeg = self.given[number % len(self.given)]
                number += 1
                yield replace(each, packet=replace(each.packet, jpeg=jpeg))
            else:
                yield each


def rows(folder: Path, view: str) -> list[bytes]:
    found: list[bytes] = []
    for path in sorted(folder.glob("data/*/*.parquet")):
        for row in pq.read_table(path).to_pylist():
            found.append(row[f"observation.images.{view}"]["bytes"])
    return found


def declared(folder: Path, view: str) -> list[int]:
    info: dict[str, Any] = json.loads((folder / "meta/info.json").read_text(encoding="utf-8"))
    shape: list[int] = info["features"][f"observation.images.{view}"]["shape"]
    return shape


def small(seed: int, flags: int = cv2.IMREAD_COLOR) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image = noise if flags == cv2.IMREAD_COLOR else noise[..., 0]
    return cv2.imencode(".jpg", image)[1].tobytes()


def test_all_pictures_of_a_view_are_as_declared(tmp_path: Path) -> None:
    tagged = with_segment(small(2), exif(6, "<"))
    fake = Recording(small(1), tagged, small(3, cv2.IMREAD_GRAYSCALE))
    folder = tmp_path / "mixed"
    lines = to_lerobot(fake, folder, None, None)
    assert declared(folder, "view2") == [HEIGHT, WIDTH, 3]
    found = rows(folder, "view2")
    assert {read(each).shape for each in found} == {(HEIGHT, WIDTH, 3)}
    grey = sum(each.startswith(b"\x89PNG") for each in found)
    line = f"as RGB, in PNG: {grey} picture(s) of View2, which were not of three channels"
    assert 0 < grey < len(found)
    assert lines[-1] == line


def test_a_grey_camera_of_a_bag(tmp_path: Path) -> None:
    lines = to_lerobot(open_recording(DATA / "bag" / "view5_gray.mcap"), tmp_path / "a", None, None)
    assert "11 frames" in lines[0]
    for view in VIEWS:
        assert declared(tmp_path / "a", view.lower()) == [36, 64, 3]
        assert {read(each).shape for each in rows(tmp_path / "a", view.lower())} == {(36, 64, 3)}
    assert lines[1:] == ["as RGB, in PNG: 11 picture(s) of View5, which were not of three channels"]


def test_a_damaged_picture_counts_as_not_received(tmp_path: Path) -> None:
    good, other = small(1), small(2)
    fake = Recording(good, cut(other))
    (line, *others) = to_lerobot(fake, tmp_path / "damaged", None, None)
    assert ": 25 frames (" in line
    assert others == []
    assert set(rows(tmp_path / "damaged", "view2")) == {good}
    (said,) = fake.odd.lines()
    assert "of exported pictures, bad JPEG: the picture of View2 received at 17000000" in said
    fake.odd = Odd(strict=True)
    with pytest.raises(RecordingError, match="premature end"):
        to_lerobot(fake, tmp_path / "strict", None, None)
    assert not (tmp_path / "strict").exists()


def test_a_first_picture_of_another_size_does_not_cost_all_others(tmp_path: Path) -> None:
    class Changed(FakeRecording):
        def frames(self) -> Iterator[Received[CameraFrame]]:
            for number, each in enumerate(super().frames()):
                small = replace(each.packet, width=32, height=24)
                yield replace(each, packet=small) if number < 10 else each

    (line, *_) = to_lerobot(Changed(), tmp_path / "sizes", None, None)
    assert declared(tmp_path / "sizes", "view1") == [HEIGHT, WIDTH, 3]
    assert ": 25 frames" in line
