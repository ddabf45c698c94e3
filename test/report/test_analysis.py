"""The numbers of the report that no other part of it owns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import FPS, OFFSET, SAMPLE_RATE, START, STATE_RATE, UPDATE, VIEWS, Planted

from vla_inference_ros.report.analysis import Analysis, analyse, mean_rate
from vla_inference_ros.report.content import ITEM, Content, read
from vla_inference_ros.report.text import counted, duration, milliseconds, number, plain


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    found = analyse(read(Planted(tmp_path_factory.mktemp("run"))))
    assert found is not None
    return found


def test_streams(analysis: Analysis) -> None:
    assert list(analysis.streams) == [*VIEWS, "robot", "sensor"]
    for stream, rate in (("View1", FPS), ("robot", STATE_RATE), ("sensor", SAMPLE_RATE)):
        assert analysis.rate(stream) == pytest.approx(rate, rel=0.01)


def test_times_are_by_this_hosts_clock(analysis: Analysis) -> None:
    rows = analysis.streams["View1"]
    assert rows["own"][0] == START - OFFSET
    assert rows["stamp"][0] == START


def test_vlm_updates_are_there_when_they_are_finished(analysis: Analysis) -> None:
    assert analysis.update_times[0] - START == pytest.approx(0.4 + UPDATE, abs=1e-6)
    assert mean_rate(analysis.update_times) == pytest.approx(2.5)


def test_without_updates_a_chunk_tells_of_them(tmp_path: Path) -> None:
    found = analyse(read(Planted(tmp_path, frozenset({"results"}))))
    assert found is not None
    ticks = np.rint((found.update_times - START) * 10)
    assert ticks[:3].tolist() == [10, 12, 16]  # then every fourth


def test_a_frozen_camera_sends_unchanged_pictures() -> None:
    content = Content(Path("run"))
    rows = np.zeros(10, ITEM)
    rows["own"] = rows["stamp"] = rows["received"] = START + np.arange(10) / 10
    rows["digest"] = [1, 2, 3, 4, 4, 4, 4, 4, 9, 10]
    content.views["View1"] = rows
    found = analyse(content)
    assert found is not None
    assert found.unchanged == {"View1": 4}
    assert found.rhythms["View1"].duplicates == 0


def test_a_camera_that_died_is_missing_until_the_end() -> None:
    content = Content(Path("run"))
    for view, count in (("View1", 200), ("View2", 100)):
        rows = np.zeros(count, ITEM)
        rows["own"] = rows["stamp"] = rows["received"] = START + np.arange(count) / 10
        rows["digest"] = np.arange(count)
        content.views[view] = rows
    found = analyse(content)
    assert found is not None
    assert found.rhythms["View1"].missing == 0
    died = found.rhythms["View2"]
    assert died.missing == pytest.approx(100, abs=1)
    assert died.gap_starts == pytest.approx([START + 9.9])
    assert died.longest == pytest.approx(10.0)


def test_nothing() -> None:
    assert analyse(Content(Path("run"))) is None


def test_a_single_thing_has_no_rate() -> None:
    assert np.isnan(mean_rate(np.array([START])))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(1234.5678), "1,234.57"),
        (number(float("nan")), "–"),
        (milliseconds(0.0), "0"),
        (milliseconds(0.00012345), "0.123"),
        (milliseconds(0.0244), "24.4"),
        (milliseconds(1.4079), "1,408"),
        (milliseconds(float("inf")), "–"),
        (duration(59.94), "59.9 s"),
        (duration(125), "2 min 05 s"),
        (duration(3661), "1 h 01 min 01 s"),
        (counted(1, "gap"), "1 gap"),
        (counted(1000, "gap"), "1,000 gaps"),
        (plain("a\n b\x00\ud800"), "a b\ufffd\ufffd"),
        (plain("long" * 10, 8), "longlon…"),
    ],
)
def test_numbers_and_texts(shown: str, expected: str) -> None:
    assert shown == expected
