"""What vla-replay cannot use, and how it says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bags import file_of
from damaged_mcap import hole, messages_by_place
from replayed import CHUNKS, Published, with_results, write_bag

from vla_inference_ros.model.heads import FUSIONS
from vla_inference_ros.model.linear import PRECISIONS
from vla_inference_ros.replay.command import _FUSIONS, _PRECISIONS, main

Replay = Callable[..., tuple[int, str]]


def test_if_nothing_can_be_compared_it_fails(
    stub: list[Published], tmp_path: Path, replay: Replay
) -> None:
    bag = write_bag(tmp_path / "bag", [m for m in stub if not m.topic.startswith("/sensor")])
    status, said = replay(bag)
    assert status == 1
    assert "0 of 12 chunks compared" in said
    assert "12 NOT compared:" in said


def test_a_recording_without_chunks_says_so(
    stub: list[Published], tmp_path: Path, replay: Replay
) -> None:
    bag = write_bag(tmp_path / "bag", [m for m in stub if m.topic != "/vla/actions"])
    status, said = replay(bag)
    assert status == 1
    assert "has no action chunk: there is nothing to compare" in said


def test_a_recording_of_trained_weights_needs_their_names(
    stub_run: Path, tmp_path: Path, replay: Replay
) -> None:
    folder = with_results(stub_run, tmp_path, lambda text: text.replace("stub (no", "best.pt (no"))
    status, said = replay(folder)
    assert (status, said.count("\n")) == (1, 1)
    assert "the model was best.pt (no" in said
    assert "--model" in said
    status, said = replay(folder, "--model", "stub")
    assert status == 0
    assert "NOT THE RECORDED ONE" in said
    status, said = replay(folder, "--model", "/some/folder")
    assert status == 1
    assert "/some/folder" in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["/no/such"], "/no/such does not exist"),
        (["{bag}", "--checkpoint", "/no/best.pt"], "checkpoint /no/best.pt does not exist"),
        (["{bag}", "--json", "/no/such/file.json"], "No such file or directory"),
        (["{bag}", "--json", "."], ". is a folder: name a file in it"),
        (["{bag}", "--model", "tiny", "--device", "abacus"], "abacus"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    stub_bag: Path, arguments: list[str], reason: str, replay: Replay
) -> None:
    status, said = replay(*(argument.format(bag=stub_bag) for argument in arguments))
    assert (status, said.count("\n")) == (1, 1)
    assert said.startswith("vla-replay: ")
    assert reason in said


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bag", "--features", "both"],
        ["bag", "--tolerance", "-1"],
        ["bag", "--tolerance", "nan"],
        ["bag", "--tolerance", "some"],
        ["bag", "--limit", "0"],
        ["bag", "--limit", "all"],
        ["bag", "--fusion-strategy", "nuclear"],
    ],
)
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_status:
        main(arguments)
    assert exit_status.value.code == 2
    assert "usage: vla-replay" in capsys.readouterr().err


def test_it_offers_all_fusions_and_precisions() -> None:
    assert _FUSIONS == FUSIONS
    assert ("auto", *PRECISIONS) == _PRECISIONS


def test_ctrl_c_is_no_error(
    stub_bag: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr("vla_inference_ros.replay.command.open_recording", interrupted)
    assert main([str(stub_bag)]) == 130
    assert capsys.readouterr() == ("", "")


def test_damage_to_a_bag_costs_what_is_in_it_alone(
    stub_bag: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "bag"
    shutil.copytree(stub_bag, folder)
    file = file_of(folder)
    chunks = [place for place in messages_by_place(file) if b"joint_1" in place[2][2]]
    hole(file, chunks[-2][0], chunks[-2][0] + 40)
    assert main([str(folder)]) == 0
    captured = capsys.readouterr()
    assert f"{CHUNKS - 1} of {CHUNKS - 1} chunks compared" in captured.out
    assert "1 of /vla/actions, damaged in the file" in captured.err
