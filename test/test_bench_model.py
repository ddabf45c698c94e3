"""The bench of the models runs through, small and short, and knows when a limit is not kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import model
import pytest
import report
import step
import timing
import torch
import update
from reference import photographs

CPU = torch.device("cpu")


def value_of(rows: list[report.Row], name: str) -> str:
    (value,) = [row.value for row in rows if row.name == name]
    return value


def test_updates_of_both_paths_are_compared() -> None:
    rows = update.updates(photographs(5), CPU, 2, 2, 1, width="small")
    assert float(value_of(rows, "largest difference, same pixels")) <= 1e-4
    assert float(value_of(rows, "cosine, each with its own pixels")) >= 0.999
    assert float(value_of(rows, "reference over ours")) > 0
    assert value_of(rows, "on a GPU: 60 ms, 8 GB") == "not measured"


def test_expert_steps_of_all_precisions_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "_WARM_UP", 0)
    rows = step.expert_steps(CPU, step.random_heads(CPU), runs=2)
    errors = [float(r.value) for r in rows if r.name == "  largest difference of an action"]
    assert errors[0] <= 1e-5 < errors[1] < errors[2] < 0.1
    assert value_of(rows, "weights read a step, plain / ours [MB]") == "479 / 366"


def test_pictures_of_both_paths_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_PICTURE_RUNS", 2)
    rows = model.pictures(photographs(5))
    assert float(value_of(rows, "reference over ours")) > 0


def test_paths_take_turns_and_the_warm_up_does_not_count() -> None:
    calls: list[str] = []
    taken = timing.by_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, 1)
    assert "".join(calls) == "ababab"
    assert [len(seconds) for seconds in taken.values()] == [2, 2]


def test_a_limit_that_is_not_kept_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    taken = {"reference": [3.0, 2.0, 2.0], "ours": [1.0, 1.0, 1.0]}
    assert report.show("fast", [timing.ratio_row("ratio", taken, "ours", 2.0)])
    assert not report.show("slow", [timing.ratio_row("ratio", taken, "ours", 2.1)])
    assert capsys.readouterr().out.count("MISSED") == 1


def test_peak_memory_is_that_since_the_start() -> None:
    """In a process of its own, whose memory nothing else takes or gives back."""
    code = (
        "import timing, torch; memory = timing.PeakMemory(torch.device('cpu'))\n"
        "held = torch.ones(100_000_000); print(memory.read()); del held\n"
        "memory.start(); print(memory.read())\n"
        "held = torch.ones(50_000_000); print(memory.read())"
    )
    bench = Path(timing.__file__).parent
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=bench, capture_output=True, text=True, check=True
    )
    first, after_start, second = map(float, out.stdout.split())
    assert first - after_start > 0.3
    assert 0.15 < second - after_start < 0.25
