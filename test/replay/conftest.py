"""Recordings of runs that were computed as the nodes compute them, and vla-replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from replayed import CHUNKS, Published, models, run, write_bag, write_run

from vla_inference_ros.replay.command import main

Replay = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def tiny() -> list[Published]:
    return run(*models("tiny"), chunks=CHUNKS)


@pytest.fixture(scope="session")
def tiny_bag(tiny: list[Published], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "tiny", tiny)


@pytest.fixture(scope="session")
def tiny_run(tiny: list[Published], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs"), tiny)


@pytest.fixture(scope="session")
def stub() -> list[Published]:
    return run(*models("stub"), chunks=CHUNKS, fill="interpolate")


@pytest.fixture(scope="session")
def stub_bag(stub: list[Published], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "stub", stub)


@pytest.fixture(scope="session")
def stub_run(stub: list[Published], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs"), stub)


@pytest.fixture
def replay(capsys: pytest.CaptureFixture[str]) -> Replay:
    def call(*arguments: object) -> tuple[int, str]:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert bool(captured.out) != bool(captured.err), captured
        return status, captured.out or captured.err

    return call
