from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import OFFSET, START, frame

from vla_inference_ros.recording.csv_text import from_cell, to_cell
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.run_reader import RunFolder
from vla_inference_ros.recording.traffic import Received

FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\tcmd", "\rcmd", "'=1", "''@x", "="]
TEXTS = ["", "zed_41182735_left", "'quoted'", "'", "a=b", " =1", "漢"]


@pytest.mark.parametrize("text", [*FORMULAS, *TEXTS])
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert from_cell(to_cell(text)) == text
    assert (to_cell(text) == text) == (text in TEXTS)
    assert not to_cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_camera_that_is_called_as_a_formula_is_none_in_the_table(tmp_path: Path) -> None:
    name = '=HYPERLINK("x")'
    writer = RunWriter(tmp_path, START)
    writer.add_frame(Received(replace(frame(0), camera=name), OFFSET, START, "View1"))
    writer.close()
    (table,) = writer.folder.glob("frames_*.csv")
    with table.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["camera"] == f"'{name}"
    (read,) = RunFolder(writer.folder).frames()
    assert read.packet.camera == name
