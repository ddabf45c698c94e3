from __future__ import annotations

import math
import threading

import pytest

from vla_inference_ros.recording.backlog import Backlog


@pytest.fixture
def backlog() -> Backlog[str]:
    return Backlog(100)


def test_entries_come_out_in_the_order_they_went_in(backlog: Backlog[str]) -> None:
    for entry in "abc":
        assert backlog.put(entry, 10)
    assert [backlog.take(0) for _ in range(4)] == ["a", "b", "c", None]


def test_an_entry_beyond_the_limit_is_refused_until_there_is_room(backlog: Backlog[str]) -> None:
    assert backlog.put("a", 60)
    assert not backlog.put("b", 41)
    assert backlog.put("c", 40)
    assert backlog.take(0) == "a"
    assert backlog.put("b", 41)
    assert [backlog.take(0), backlog.take(0)] == ["c", "b"]


def test_what_matters_less_gets_only_a_share(backlog: Backlog[str]) -> None:
    assert backlog.put("picture", 50, share=0.5)
    assert not backlog.put("picture", 1, share=0.5)
    assert backlog.put("sample", 50)
    assert not backlog.put("sample", 1)
    assert backlog.put("result", 1000, share=math.inf)


def test_the_most_that_waited_is_known(backlog: Backlog[str]) -> None:
    backlog.put("a", 30)
    backlog.put("b", 20)
    backlog.take(0)
    backlog.put("c", 10)
    assert backlog.most_bytes == 50


def test_taking_waits_for_an_entry(backlog: Backlog[str]) -> None:
    taken: list[str | None] = []
    thread = threading.Thread(target=lambda: taken.append(backlog.take(20.0)))
    thread.start()
    backlog.put("a", 1)
    thread.join(20.0)
    assert taken == ["a"]
