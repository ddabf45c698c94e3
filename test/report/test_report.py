"""The whole page, of a recording whose content is known."""

from __future__ import annotations

import itertools
import re
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from planted import (
    BATCH,
    DEGRADED,
    DIMENSIONS,
    FIRST_CHUNK,
    HELD,
    INSTRUCTION,
    JUMP,
    JUMPED,
    LENGTH,
    LOST_BATCHES,
    LOST_FRAMES,
    LOST_STATES,
    MODEL,
    SAMPLE_RATE,
    START,
    STEP,
    TWICE,
    VIEWS,
    WORST_FEATURES_AGE,
    Planted,
)

from vla_inference_ros.recording.odd import OddError
from vla_inference_ros.report.chunks import ChunksReader
from vla_inference_ros.report.content import ITEM, SAMPLE, STATE, UPDATE, Content, read
from vla_inference_ros.report.report import page_of, report

CHUNKS = int(LENGTH * 10) - FIRST_CHUNK - len(HELD)
SECTIONS = (
    "Action chunks",
    "Pictures",
    "Actions",
    "Seams between chunks",
    "Force",
    "Robot",
    "Ages of the inputs",
    "Rates",
    "Latencies and jitter",
    "Losses",
    "Files",
)
PLOTS = {
    *("verdict", "actions", "seams", "force", "joints", "pose", "ages", "rates", "latencies"),
    *("losses", "windows", "jerks"),
}
HOUR, SHORT = 3600, 600  # [s]


def plots(page: Page) -> set[str]:
    return {each.removeprefix("plot-") for each in page.ids if each.startswith("plot-")}


def test_every_section_is_there(page: Page) -> None:
    assert page.headings == ["Run report: async_inference_20261125_101500", *SECTIONS]
    assert plots(page) == PLOTS
    assert page.tags.count("img") == 6 * len(VIEWS)


def test_nothing_is_fetched(page: Page, raw_page: bytes) -> None:
    assert not re.findall(rb"(?:https?|file):/|@import", raw_page)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "data", "action"):
            assert value.startswith(("data:", "#")), (tag, name, value)
        for reference in re.findall(r"url\(([^)]*)\)", value):
            assert reference.startswith("#"), (tag, name, value)


def test_every_reference_within_the_page_has_one_target(page: Page) -> None:
    used = [value[1:] for _, name, value in page.attributes if name == "href" and value[0] == "#"]
    used += [each for *_, value in page.attributes for each in re.findall(r"url\(#(.*?)\)", value)]
    assert used
    assert set(used) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_foreign_text_is_text(page: Page) -> None:
    assert "script" not in page.tags
    assert "b" in page.tags  # only ours:
    assert page.tags.count("b") == page.tags.count("div") - page.tags.count("table") - 1
    assert INSTRUCTION in page.text
    assert MODEL in page.text
    assert "<script>alert(2)</script>_left" in page.text


def test_verdict(page: Page) -> None:
    assert page.values["chunks"] == str(CHUNKS)
    assert page.values["chunks.ok"] == str(CHUNKS - len(DEGRADED))
    assert page.values["chunks.degraded"] == str(len(DEGRADED))
    assert page.values["gaps"] == "1"
    assert page.values["gaps.missing"] == str(len(HELD))
    assert page.values["features.age"] == "1,250"
    assert page.values["sensor.age"] == "20.0"
    assert page.values["robot.age"] == "10.0"
    assert page.values["duration"] == "20.0 s"
    assert page.tables["reasons"][1:] == [
        [
            "features are … s old, over … s",
            "features are 1.20 s old, over 1 s",
            str(len(DEGRADED)),
        ]
    ]
    assert page.tables["gaps"][1][1:] == ["9.9 s", "2.0 s", str(len(HELD))]
    assert WORST_FEATURES_AGE > 1


def test_losses(page: Page) -> None:
    heading, *rows = page.tables["losses"]
    found = {row[0]: dict(zip(heading, row, strict=True)) for row in rows}
    assert set(found) == {*VIEWS, "robot", "sensor"}

    def column(name: str) -> dict[str, str]:
        return {stream: row[name] for stream, row in found.items() if row[name] not in ("0", "")}

    lost = {
        "View2": str(len(LOST_FRAMES)),
        "robot": str(len(LOST_STATES)),
        "sensor": str(len(LOST_BATCHES) * BATCH),
    }
    assert column("missing") == lost
    assert column("gaps") == {"View2": "1", "robot": "1", "sensor": "2"}
    assert column("duplicates") == {"View3": str(len(TWICE)), "sensor": str(BATCH)}
    # All of a datagram that was overtaken, and all of one that came twice but its last sample.
    assert column("out of order") == {"sensor": str(2 * BATCH - 1)}
    assert column("clock set") == {}
    assert column("unchanged") == {}
    assert found["View2"]["longest [ms]"] == "600.0"
    assert found["robot"]["period [ms]"] == "10.000"
    assert page.values["sensor.missing"] == lost["sensor"]
    assert page.values["others.missing"] == str(len(LOST_FRAMES) + len(LOST_STATES))
    assert f"{len(DEGRADED)} of {CHUNKS} chunks had a window with slots empty." in page.notes


def test_seams(page: Page) -> None:
    rows = page.tables["seams"][1:]
    assert len(rows) == DIMENSIONS
    most = [float(row[-1]) for row in rows]
    np.testing.assert_allclose(most, np.eye(DIMENSIONS)[JUMPED] * JUMP, atol=1e-4)
    assert page.values["seams.largest"] == f"{JUMP:.3f}"
    # What is a straight line but for one step has third differences of JUMP, -2 JUMP and JUMP.
    hardest = [float(row[-1]) for row in page.tables["jerks"][1:]]
    np.testing.assert_allclose(hardest, np.eye(DIMENSIONS)[JUMPED] * 2 * JUMP / STEP**3, atol=0.01)
    assert page.values["seams.jerk"] == f"{2 * JUMP / STEP**3:.2f}"
    # The gap is longer than a chunk: its two sides have nothing in common.
    assert any(f"{CHUNKS - 2} of {CHUNKS - 1} pairs" in note for note in page.notes)


def test_chunks_too_short_for_a_jerk(folder: Path) -> None:
    planted = Planted(folder, frozenset({"results"}), changes={"actions": [[0.5] * 7] * 2})
    page = Page(report(planted))
    assert "seams" in plots(page)
    assert "jerks" not in plots(page) | page.tables.keys()
    assert any("too short, or overlap too little, for a jerk" in note for note in page.notes)
    assert page.values["seams.jerk"] == "–"


def test_latencies(page: Page) -> None:
    heading, *rows = page.tables["latencies"]
    medians = {row[0]: row[heading.index("median")] for row in rows}
    assert medians["VLM, an update"] == "380.0"
    assert medians["action expert, a step"] == "24.0"
    assert medians["between chunks, off nominal"] == "0.000"
    # After the first second, stamps are 10 ms later than they were.
    assert medians["View1, acquisition to receipt"] == "52.5"
    assert medians["robot, acquisition to receipt"] == "52.5"


def test_files(page: Page) -> None:
    assert page.tables["files"][1:] == [["frames_20261125_101500.csv", "1", "2.34"]]


def test_the_force_peak_is_drawn(page: Page) -> None:
    """The axis reaches up to it, though it is one sample of 13,000."""
    force = re.search(r"sensor \[N\].*?robot \[N\]", page.text, re.S)
    assert force is not None
    labels = re.findall(r"\b\d+\.?\d*\b", page.text[: force.start()].split("each pixel.")[-1])
    assert max(map(float, labels)) >= 7.5


@pytest.mark.parametrize(
    ("streams", "sentences"),
    [
        ({"states", "samples"}, ["No pictures were recorded.", "No action chunks were recorded."]),
        (
            {"results"},
            ["No cameras, robot or sensor were recorded.", "No pictures were recorded."],
        ),
        ({"features"}, ["No pictures were recorded."]),
    ],
)
def test_what_is_missing_is_said(folder: Path, streams: set[str], sentences: list[str]) -> None:
    page = Page(report(Planted(folder, frozenset(streams))))
    assert page.headings[1:] == list(SECTIONS)
    for sentence in sentences:
        assert sentence in page.notes
    if "features" not in streams and "results" in streams:
        assert any("a run folder holds none" in note for note in page.notes)
        # One in four chunks has a new one; from the first to the last, two seconds had none.
        assert float(page.values["updates.rate"]) == pytest.approx(2.5 * 17 / 19, abs=0.1)


def test_an_empty_recording(folder: Path) -> None:
    page = Page(report(Planted(folder, frozenset())))
    assert page.notes == [
        "This recording is empty: nothing was received, and no action chunk was made."
    ]
    assert not plots(page)


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_none(folder: Path) -> None:
    nan, inf = float("nan"), float("inf")
    changes = {
        "actions": [[nan, inf, -inf, 1e300, -1e300, 1.0, 1e30]] * 8,
        "inference_time": nan,
        "features_age": inf,
        "sensor_age": 1e300,
        "robot_age": -inf,
        "sensor_missing": -inf,
        "step_dt": nan,
        "vl_update_number": inf,
        "view_timestamps": {"View1": nan, "View2": -1e300, "View3": inf},
    }
    planted = Planted(folder, frozenset({"results"}), changes=changes)
    page = Page(report(planted))
    assert page.headings[1:] == list(SECTIONS)
    assert not re.search(r"\b(nan|inf|Infinity)\b", page.text, re.I)
    assert page.values["chunks"] == str(CHUNKS)
    assert page.values["features.age"] == "–"
    assert [row[-1] for row in page.tables["seams"][1:]] == [*"–––––", "0.0000", "0.0000"]
    assert [row[-1] for row in page.tables["jerks"][1:]] == [*"–––––", "0.00", "0.00"]


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -1.0, 1e300])
def test_chunks_without_a_time_are_left_out(time: float) -> None:
    reader = ChunksReader()
    with pytest.raises(OddError, match="wanted is a Unix time"):
        reader.add({"timestamp": time, "actions": [[0.0]]})
    reader.add({"timestamp": START, "actions": [[0.0]]})
    chunks = reader.chunks()
    assert chunks is not None
    assert (len(chunks.rows), chunks.odd) == (1, 1)


def test_pictures_and_ascans_are_not_kept(folder: Path) -> None:
    """The recording has 53 MB of A-scans."""
    tracemalloc.start()
    try:
        content = read(Planted(folder))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(content.samples) == 13_000 - 2 * BATCH
    assert most < 15e6


def test_text_that_no_page_can_hold(folder: Path) -> None:
    changes = {
        "model_id": "\x00\ud800\x1b[31m" + "long " * 10_000,
        "action_names": ["$\\frac{$", "</svg>", "\ud800", "_^", "", "\n", "]]>"],
        "reasons": ["\ud800 </td> $x$", "&amp;"],
        "view_timestamps": {"<View$1$\x00": START, "View2": START},
    }
    raw = report(Planted(folder, frozenset({"results"}), changes=changes))
    page = Page(raw)
    assert len(page.text) < 100_000
    for shown in ("\ufffd\ufffd\ufffd[31mlong", "$\\frac{$", "</svg>", "]]>", "<View$1$", "&amp;"):
        assert shown in page.text


def long_run(path: Path, length: int) -> Content:
    """At the rig's rates, all of it noisy."""
    random = np.random.default_rng(3)
    content = Content(path)

    def items(dtype: np.dtype[np.void], rate: float) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        rows = np.zeros(int(length * rate), dtype)
        rows["own"] = START + np.arange(len(rows)) / rate
        rows["stamp"] = rows["own"]
        rows["received"] = rows["own"] + random.uniform(0, 0.05, len(rows))
        rows["digest"] = np.arange(len(rows))
        return rows

    content.views = {view: items(ITEM, 30)[random.random(length * 30) > 0.05] for view in VIEWS}
    content.cameras = {view: Counter() for view in VIEWS}
    content.states, content.samples = items(STATE, 100), items(SAMPLE, SAMPLE_RATE)
    content.samples["force"] = random.normal(size=len(content.samples))
    content.states["force"] = random.normal(size=len(content.states))
    for name in ("joints", "pose"):
        content.states[name] = random.normal(size=(len(content.states), 6))
    content.updates = np.zeros(int(length * 2.5), UPDATE)
    content.updates["started"] = START + np.arange(len(content.updates)) / 2.5
    content.updates["finished"] = content.updates["started"] + 0.38
    reader = ChunksReader()
    results = itertools.cycle(Planted(path).results())
    for tick, result in zip(range(length * 10), results, strict=False):
        result = {**result, "timestamp": START + tick / 10, "actions": random.normal(size=(8, 7))}
        result["features_age"] = random.uniform(0.4, 1.2)
        if tick % 7:
            reader.add(result)
    content.chunks = reader.chunks()
    return content


@pytest.mark.long
def test_the_page_of_an_hour_is_not_large(folder: Path, full: bool) -> None:
    raw = page_of(long_run(folder, HOUR if full else SHORT))
    assert len(raw) < 3_500_000  # of 5 MB, to which 30 thumbnails of 10 kB come
    assert plots(Page(raw)) == PLOTS
