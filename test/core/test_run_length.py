from __future__ import annotations

import pytest

from vla_inference_ros.core.run_length import LONGEST_LOAD, PATIENCE, End, RunLength

BEGAN, DURATION = 1000.0, 20.0


@pytest.fixture
def length() -> RunLength:
    return RunLength(DURATION, BEGAN)


def test_it_counts_from_the_first_chunk_however_long_the_model_loads(length: RunLength) -> None:
    loaded = BEGAN + 600
    assert length.end(loaded) is End.NOT_YET
    length.note_loaded(loaded)
    length.note_chunk(loaded + 1)
    length.note_chunk(loaded + 2)
    assert not length.lacks_chunk
    assert length.end(loaded + 0.9 + DURATION) is End.NOT_YET
    assert length.end(loaded + 1 + DURATION) is End.OVER


def test_it_gives_up_once_the_models_have_been_there_for_long(length: RunLength) -> None:
    loaded = BEGAN + 600
    length.note_loaded(loaded)
    length.note_loaded(loaded + 50)
    assert length.end(loaded + PATIENCE + DURATION - 0.1) is End.NOT_YET
    assert length.lacks_chunk
    assert length.end(loaded + PATIENCE + DURATION) is End.WITHOUT_CHUNK


def test_models_that_never_load_end_it_as_well(length: RunLength) -> None:
    assert length.end(BEGAN + LONGEST_LOAD + DURATION - 0.1) is End.NOT_YET
    assert length.end(BEGAN + LONGEST_LOAD + DURATION) is End.WITHOUT_CHUNK


def test_without_a_duration_it_never_ends() -> None:
    length = RunLength(0.0, BEGAN)
    length.note_loaded(BEGAN)
    assert length.end(1e9) is End.NOT_YET
    assert not length.lacks_chunk
    length.note_chunk(BEGAN)
    assert length.end(1e9) is End.NOT_YET
