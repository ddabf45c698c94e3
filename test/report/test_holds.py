"""What only a bag tells: how long updates took, and why there were no chunks."""

from __future__ import annotations

from pathlib import Path

import pytest
from bags import bag, cut_off, features, file_of, raw, run_messages, write
from html_page import Page
from planted import Planted
from recorded import START, STEP, chunk

from vla_inference_ros.convert import header
from vla_inference_ros.msg import InferenceStatus
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.report.holds import Hold, holds, reason_between
from vla_inference_ros.report.report import report

SECOND = 1_000_000_000
BEFORE, AFTER = 5, 25  # chunks with none between
UNTIL_THEN = "waiting for vlm, sensor samples (…/…); waiting for vlm"


def status(time: float, state: int, reason: str) -> InferenceStatus:
    return InferenceStatus(header=header(time), state=state, reason=reason)


def held_bag(folder: Path, *, damaged: bool = False, chunks: bool = True) -> Path:
    writer = BagWriter(folder)
    for number in (*range(BEFORE), *range(AFTER, 30)):
        made = chunk(number)
        made.instruction = "Touch the lens"
        made.step_dt, made.chunk_id = STEP, number + 1 if number < BEFORE else number - 19
        stamp = int((START + number * STEP) * SECOND)
        if chunks:
            write(writer, [raw("/vla/actions", made, stamp)])
        write(writer, [raw("/vla/features", features(0), stamp)])
    for after, state, reason in (
        (-0.5, InferenceStatus.WAIT, "waiting for vlm, sensor samples (0/65)"),
        (-0.4, InferenceStatus.WAIT, "waiting for vlm, sensor samples (7/65)"),
        (-0.3, InferenceStatus.WAIT, "waiting for vlm"),
        (0.5, InferenceStatus.HOLD, "the newest sensor sample is 0.45 s old"),
        (1.0, InferenceStatus.HOLD, "the newest sensor sample is 0.95 s old"),
        (1.7, InferenceStatus.OK, ""),
    ):
        said = raw("/vla/status", status(START + after, state, reason), int((START + 1) * SECOND))
        data = said.data[:40] if damaged else said.data
        writer.write(said.topic, said.type, said.stamp_ns, data)
    writer.close()
    return folder


def test_holds_are_read(tmp_path: Path) -> None:
    found = holds(Bag(held_bag(tmp_path / "bag")))
    assert [hold.reason for hold in found[:3]] == [
        "waiting for vlm, sensor samples (0/65)",
        "waiting for vlm, sensor samples (7/65)",
        "waiting for vlm",
    ]
    assert found[3:] == [
        Hold(START + 0.5, "the newest sensor sample is 0.45 s old"),
        Hold(START + 1.0, "the newest sensor sample is 0.95 s old"),
    ]


def test_the_page_tells_them(tmp_path: Path) -> None:
    page = Page(report(Bag(held_bag(tmp_path / "bag"))))
    missing = str(AFTER - BEFORE)
    assert page.tables["causes"][1:] == [
        ["held back: the newest sensor sample is … s old", "1", missing]
    ]
    cause, _, length, chunks = page.tables["gaps"][1]
    assert cause == "held back: the newest sensor sample is 0.45 s old"
    assert (length, chunks) == ("1.3 s", missing)
    assert "Touch the lens" in page.text
    assert any(f"(until then: {UNTIL_THEN})" in note for note in page.notes)
    medians = {row[0]: row[3] for row in page.tables["latencies"]}
    assert medians["VLM, an update"] == "500.0"


def test_why_no_chunk_was_ever_made(tmp_path: Path) -> None:
    page = Page(report(Bag(held_bag(tmp_path / "bag", chunks=False))))
    assert page.values["chunks"] == "0"
    (told,) = (note for note in page.notes if "monitor said" in note)
    assert told.startswith(
        f"No action chunks were recorded. The monitor said: {UNTIL_THEN}; the newest sensor"
    )


def test_a_bag_that_was_not_finished(tmp_path: Path) -> None:
    folder = bag(tmp_path / "bag", run_messages())
    sentence = "This bag was not finished"
    assert sentence not in Page(report(Bag(folder))).text
    cut_off(folder, file_of(folder).stat().st_size // 2)
    assert sentence in Page(report(Bag(folder))).text


def test_damage_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="/vla/status"):
        holds(Bag(held_bag(tmp_path / "bag", damaged=True), strict=True))
    bag = Bag(tmp_path / "bag")
    holds(bag)
    assert "6 of /vla/status, does not deserialize: " in bag.odd.lines()[0]


def test_a_run_folder_has_none(tmp_path: Path) -> None:
    assert holds(Planted(tmp_path)) == []


def test_reason_between() -> None:
    said = [Hold(1.0, "a"), Hold(2.0, "b"), Hold(3.0, "c")]
    assert reason_between(said, 1.0, 3.0) == "b"
    assert reason_between(said, 3.0, 9.0) == ""
