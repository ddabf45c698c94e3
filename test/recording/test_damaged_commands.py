"""Every command that reads bags goes on over damage, and says what is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bags import bag, file_of, run_messages
from damaged_mcap import hole, messages_by_place

from vla_inference_ros.export.command import main as export
from vla_inference_ros.recording.inputs import inputs
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import RecordingError, traffic
from vla_inference_ros.report.command import main as report

LOST = "1 of /robot/state, damaged in the file: "


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Without a robot state and a sensor batch."""
    folder = bag(tmp_path / "bag", run_messages())
    places = messages_by_place(file_of(folder))
    hole(file_of(folder), places[62][0], places[64][0])
    return folder


@pytest.mark.parametrize(
    ("command", "options"),
    [(report, []), (export, ["--to", "csv"]), (export, ["--to", "run"])],
)
def test_commands_go_on_and_say_so(
    command: Callable[[list[str]], int],
    options: list[str],
    damaged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command([str(damaged), *options, "--strict"]) == 1
    assert "damaged at byte" in capsys.readouterr().err
    assert command([str(damaged), *options]) == 0
    assert "damaged in the file" in "".join(capsys.readouterr())


def test_what_resends_and_what_plays_go_on(damaged: Path) -> None:
    recording = open_recording(damaged)
    assert len(list(traffic(recording))) == 3 * 20 - 2
    assert any(LOST in line for line in recording.odd.lines())
    recording = open_recording(damaged)
    assert len([each for each in inputs(recording) if each.topic == "/robot/state"]) == 19
    assert any(LOST in line for line in recording.odd.lines())
    with pytest.raises(RecordingError, match="damaged at byte"):
        list(inputs(open_recording(damaged, strict=True)))
