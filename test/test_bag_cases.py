"""Small bags of the kinds that real cameras make, through every command that takes a bag."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from PIL import Image
from wire_receivers import receiving

from vla_inference_ros.core.jpeg import jpeg_form
from vla_inference_ros.core.pictures import decode
from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.export.command import main as export
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.inputs import inputs
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover import main as recover
from vla_inference_ros.recording.topics import IMAGES
from vla_inference_ros.replay.command import main as replay
from vla_inference_ros.report.command import main as report
from vla_inference_ros.resend.command import main as resend

CHUNKS, STATES, DATAGRAMS, SAMPLES, INFOS = 11, 12, 1, 15, 64
WIDTH, HEIGHT = 64, 36
Output = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Case:
    """A bag's file; how many pictures of View1 it has, the other views having as many as ``good``;
    the ``padded`` ones of them; what is ``odd``; how many components View5's pictures have.
    """

    name: str
    of_view1: int = 13
    padded: int = 0
    odd: str = ""
    view5: int = 3

    @property
    def path(self) -> Path:
        return Path(__file__).parent / "data" / "bag" / f"{self.name}.mcap"

    @property
    def pictures(self) -> dict[str, int]:
        """By view."""
        return {"View1": self.of_view1, "View2": 12, "View3": 13, "View4": 13, "View5": 13}

    def check(self, said: str) -> None:
        """What is odd, and nothing else, is told of."""
        lines = [line for line in said.splitlines() if "since it is odd" in line]
        assert len(lines) == bool(self.odd), said
        assert all(self.odd in line and str(self.path) in line for line in lines), said


EMPTY = f"left out, since it is odd: 1 of {IMAGES['View1']}, bad JPEG: "
CASES = [
    Case("good"),
    Case("one_empty_picture", of_view1=12, odd=EMPTY),
    Case("one_padded_picture", padded=1),
    Case("view5_gray", view5=1),
]


@pytest.fixture(params=CASES, ids=[case.name for case in CASES])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def exported(case: Case, to: str, folder: Path, capsys: Output) -> Path:
    """The new folder; with --strict there is one only if nothing is odd."""
    given = [str(case.path), "--to", to, "--output"]
    strict = folder / "strict"
    assert export([*given, str(strict), "--strict"]) == bool(case.odd)
    assert any(strict.glob("*")) is not bool(case.odd)
    capsys.readouterr()
    assert export([*given, str(folder / to)]) == 0
    case.check(capsys.readouterr().out)
    (found,) = (folder / to).iterdir()
    return found


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_they_are_what_the_table_says(case: Case) -> None:
    found = list(Bag(case.path).frames())
    assert Counter(each.view for each in found) == case.pictures
    forms = [(each.view, jpeg_form(each.packet.jpeg)) for each in found]
    assert {form.components for view, form in forms if view == "View5"} == {case.view5}
    assert {form.components for view, form in forms if view != "View5"} == {3}
    assert sum(form.trailing > 64 for _, form in forms) == case.padded


def test_csv(case: Case, tmp_path: Path, capsys: Output) -> None:
    folder = exported(case, "csv", tmp_path, capsys)
    frames = rows(folder / "frames.csv")
    assert Counter(row["view"] for row in frames) == case.pictures
    assert {(row["width"], row["height"]) for row in frames} == {(str(WIDTH), str(HEIGHT))}
    assert len(rows(folder / "actions.csv")) == 8 * CHUNKS
    assert len(rows(folder / "robot_state.csv")) == STATES
    assert len(rows(folder / "sensor.csv")) == SAMPLES


def test_run(case: Case, tmp_path: Path, capsys: Output) -> None:
    folder = exported(case, "run", tmp_path, capsys)
    found = open_recording(folder, strict=True)
    given = [each.packet.jpeg for each in Bag(case.path).frames()]
    assert Counter(each.packet.jpeg for each in found.frames()) == Counter(given)
    assert Counter(each.view for each in found.frames()) == case.pictures
    assert sum(1 for _ in found.results()) == CHUNKS
    assert sum(1 for _ in found.states()) == STATES
    assert sum(1 for _ in found.samples()) == DATAGRAMS


def test_lerobot(case: Case, tmp_path: Path, capsys: Output) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow, an extra, is not installed")
    folder = exported(case, "lerobot", tmp_path, capsys)
    info = json.loads((folder / "meta/info.json").read_text(encoding="utf-8"))
    assert (info["total_frames"], info["total_episodes"]) == (CHUNKS, 1)
    (file,) = folder.glob("data/*/*.parquet")
    table = pq.read_table(file).to_pylist()
    for view in IMAGES:
        key = f"observation.images.{view.lower()}"
        assert info["features"][key]["shape"] == [HEIGHT, WIDTH, 3]
        for row in table:
            pixels = np.asarray(Image.open(io.BytesIO(row[key]["bytes"])))
            assert pixels.shape == (HEIGHT, WIDTH, 3)
            assert np.abs(pixels.astype(int) - decode(row[key]["bytes"]).pixels).max() <= 2


def test_report(case: Case, tmp_path: Path, capsys: Output) -> None:
    page = tmp_path / "page.html"
    given = [str(case.path), "--output", str(page)]
    assert report([*given, "--strict"]) == bool(case.odd)
    assert page.exists() is not bool(case.odd)
    if case.odd:
        capsys.readouterr()
        assert report(given) == 0
    case.check(capsys.readouterr().err)
    found = Page(page.read_bytes())
    assert found.values["chunks"] == str(CHUNKS)
    assert (case.odd in found.text) if case.odd else ("since it is odd" not in found.text)


def test_replay(case: Case, capsys: Output) -> None:
    """They are too short for any chunk to have all that it was computed from."""
    assert replay([str(case.path)]) == 1
    found = capsys.readouterr()
    case.check(found.err)
    assert f"0 of {CHUNKS} chunks compared" in found.out
    assert f"{CHUNKS} NOT compared" in found.out
    assert replay([str(case.path), "--strict"]) == 1
    assert ("the JPEG is empty" in capsys.readouterr().err) is bool(case.odd)


def test_resend(case: Case, capsys: Output) -> None:
    with receiving() as got:
        assert resend([str(case.path), "--rate", "0", *got.arguments]) == 0
    case.check(capsys.readouterr().err)
    frames = [CameraFrame.unpack(parts, WIDTH * HEIGHT) for parts in got.frames]
    given = [each.packet.jpeg for each in Bag(case.path).frames()]
    assert Counter(frame.jpeg for frame in frames) == Counter(given)
    assert (len(got.packets), len(got.datagrams)) == (STATES, DATAGRAMS)
    with receiving() as got:
        strict = [str(case.path), "--rate", "0", "--strict", *got.arguments]
        assert resend(strict) == bool(case.odd)


def test_player(case: Case) -> None:
    """What it plays; the node itself is in graph/test_bag_player.py."""
    bag = Bag(case.path)
    played = Counter(each.topic for each in inputs(bag))
    assert {view: played[topic] for view, topic in IMAGES.items()} == case.pictures
    assert played["/camera/frame_info"] == INFOS
    case.check("\n".join(bag.odd.lines()))
    if case.odd:
        with pytest.raises(RecordingError, match="the JPEG is empty"):
            list(inputs(Bag(case.path, strict=True)))


def test_recover(case: Case, tmp_path: Path, capsys: Output) -> None:
    """A bag that has its end is whole, whatever its messages say."""
    path = tmp_path / "copy.mcap"
    shutil.copy(case.path, path)
    assert recover([str(path)]) == 0
    assert path.read_bytes() == case.path.read_bytes()
    assert capsys.readouterr().err == ""
