"""What a recorder takes although it makes no sense: every reader leaves that out, and says so."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from typing import Any

import pytest
from bags import bag, raw, run_messages
from html_page import Page
from rclpy.serialization import deserialize_message

from vla_inference_ros.export.command import main as export
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.definitions import message_class
from vla_inference_ros.recording.inputs import inputs
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.report.command import main as report

COUNT = 6
IMAGE = "/camera/view1/image_raw/compressed"


def nan_state(message: Any) -> None:
    message.joint_position[2] = math.nan


def far_state(message: Any) -> None:
    message.force = math.inf


def nan_offset(message: Any) -> None:
    message.clock_offset = math.nan


def nan_sample(message: Any) -> None:
    message.force[0] = math.nan


def empty_picture(message: Any) -> None:
    del message.data[:]


def odd_names(message: Any) -> None:
    message.action_names = ["same"] * message.action_dim


def empty_rows(message: Any) -> None:
    message.horizon, message.action_dim = 2**32 - 1, 0
    del message.actions[:], message.delta[:]


def huge_joint(message: Any) -> None:
    message.joint_position[0] = 1e300


def few_actions(message: Any) -> None:
    del message.actions[3:]


def cut_picture(message: Any) -> None:
    del message.data[len(message.data) // 2 :]


def few_names(message: Any) -> None:
    message.action_names = ["joint_1"]


def short_mask(message: Any) -> None:
    message.sensor_samples, message.sensor_missing = 2, 1
    message.sensor_mask = array("B", [1, 1])


def few_forces(message: Any) -> None:
    message.force.pop()


ODD: dict[str, tuple[str, Any, str]] = {
    "a NaN joint": ("/robot/state", nan_state, "1 of /robot/state, not finite: "),
    "an infinite force": ("/robot/state", far_state, "1 of /robot/state, not finite: "),
    "a batch with a NaN offset": (
        "/sensor/samples",
        nan_offset,
        "1 of /sensor/samples, not finite",
    ),
    "a batch with a NaN force": ("/sensor/samples", nan_sample, "1 of /sensor/samples, not finite"),
    "an info with a NaN offset": ("/camera/frame_info", nan_offset, f"1 of {IMAGE}, not finite: "),
    "an empty picture": (IMAGE, empty_picture, f"1 of {IMAGE}, bad JPEG: "),
    "a joint beyond float32": ("/robot/state", huge_joint, "1 of /robot/state, not finite: "),
    "millions of empty rows": ("/vla/actions", empty_rows, "1 of /vla/actions, does not fit: "),
    "too few actions": ("/vla/actions", few_actions, "1 of /vla/actions, does not fit: "),
    "a cut picture": (IMAGE, cut_picture, f"1 of {IMAGE}, bad JPEG: "),
    "too few names": ("/vla/actions", few_names, "1 of /vla/actions, does not fit: "),
    "a short mask": ("/vla/actions", short_mask, "1 of /vla/actions, does not fit: "),
    "too few forces": ("/sensor/samples", few_forces, "1 of /sensor/samples, does not fit: "),
}


def doctored(folder: Path, *odd: tuple[str, Any]) -> Path:
    """A bag of a short run, in which one message of each given topic is changed."""
    messages = list(run_messages(COUNT))
    for place, (topic, change) in enumerate(odd):
        number = [index for index, each in enumerate(messages) if each.topic == topic][place % 3]
        given = messages[number]
        message = deserialize_message(given.data, message_class(given.type))
        change(message)
        messages[number] = raw(topic, message, given.stamp_ns)
    return bag(folder, messages)


def counts(recording: Bag) -> list[int]:
    streams = (recording.frames(), recording.states(), recording.samples(), recording.results())
    return [sum(1 for _ in stream) for stream in streams]


@pytest.mark.parametrize("what", ODD)
def test_one_odd_thing_costs_itself_alone(what: str, tmp_path: Path) -> None:
    topic, change, line = ODD[what]
    folder = doctored(tmp_path / "odd", (topic, change))
    found = Bag(folder)
    per_time = counts(Bag(bag(tmp_path / "whole", run_messages(COUNT))))
    assert sum(counts(found)) == sum(per_time) - 1
    assert [each for each in found.odd.lines() if line in each], found.odd.lines()
    assert list(inputs(open_recording(folder)))
    with pytest.raises(RecordingError):
        counts(Bag(folder, strict=True))


def test_every_command_leaves_it_out_and_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [ODD[what] for what in ("a NaN joint", "a batch with a NaN offset", "an empty picture")]
    folder = doctored(tmp_path / "odd", *((topic, change) for topic, change, _ in odd))
    lines = [line for _, _, line in odd]
    for target in ("csv", "run"):
        given = [str(folder), "--to", target, "--output", str(tmp_path / target)]
        assert export([*given, "--strict"]) == 1
        assert export(given) == 0
        said = capsys.readouterr().out
        assert all(line in said for line in lines)
    page = tmp_path / "page.html"
    assert report([str(folder), "--output", str(page), "--strict"]) == 1
    assert report([str(folder), "--output", str(page)]) == 0
    said = capsys.readouterr().err
    assert all(line in said and line in page.read_text(encoding="utf-8") for line in lines)


def test_odd_names_of_one_chunk_cost_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = doctored(tmp_path / "odd", ("/vla/actions", odd_names))
    assert export([str(folder), "--to", "csv", "--output", str(tmp_path / "csv")]) == 0
    assert "1 of exported action chunks, action names that do not fit: " in capsys.readouterr().out


def one_step_less(message: Any) -> None:
    message.horizon -= 1
    del message.actions[-message.action_dim :], message.delta[-message.action_dim :]


def test_a_chunk_of_another_shape_is_told_of_by_the_report_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = doctored(tmp_path / "odd", ("/vla/actions", one_step_less))
    page = tmp_path / "page.html"
    assert report([str(folder), "--output", str(page), "--strict"]) == 1
    assert not page.exists()
    assert report([str(folder), "--output", str(page)]) == 0
    assert "1 of reported action chunks, another form: " in capsys.readouterr().err
    assert Page(page.read_bytes()).values["chunks"] == str(COUNT - 1)


def test_what_the_run_recorder_saves_its_reader_reads(tmp_path: Path) -> None:
    """The same functions judge: what they let through is in the folder, and is read again."""
    folder = doctored(tmp_path / "odd", ("/robot/state", nan_state))
    assert export([str(folder), "--to", "run", "--output", str(tmp_path / "out")]) == 0
    (run,) = (tmp_path / "out").iterdir()
    found = open_recording(run)
    assert len(list(found.states())) == COUNT - 1
    assert found.odd.lines() == []
