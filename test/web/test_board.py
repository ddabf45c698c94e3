from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from vla_inference_ros.web.board import Board, Chunk, Force, LogLine

CHUNK = Chunk(
    chunk_id=1,
    stamp=100.0,
    step_dt=0.1,
    names=["a", "b"],
    steps=[[1.0, 2.0], [3.0, 4.0]],
    valid_steps=2,
    ok=True,
    reuse_index=1,
    reuse_limit=4,
    instruction="do it",
    model_id="tiny",
    features_model_id="tiny vlm",
)


class Reader:
    def __init__(self, board: Board) -> None:
        self._board, self._place = board, 0

    def news(self) -> dict[str, Any]:
        text, self._place = self._board.news(1000.0, self._place)
        news: dict[str, Any] = json.loads(text)
        return news


@pytest.fixture
def board() -> Board:
    return Board(status_timeout=3.0)


def chunk(number: int, **fields: Any) -> Chunk:
    return replace(CHUNK, chunk_id=number, stamp=100.0 + number / 10, **fields)


def stamps(news: dict[str, Any], kind: str = "steps") -> list[float]:
    return [each["stamp"] for each in news[kind]]


def test_an_empty_board_has_nothing_to_tell(board: Board) -> None:
    news = Reader(board).news()
    assert news["fresh"]
    assert news["now"] == 1000.0
    assert news["status"]["values"] is None
    assert news["chunk"] is None
    assert [news[kind] for kind in ("steps", "force", "log", "pictures")] == [[], [], [], {}]


def test_a_reader_gets_the_past_once_and_then_what_is_new(board: Board) -> None:
    reader = Reader(board)
    for number in range(1, 4):
        board.post_chunk(chunk(number))
    board.post_line(LogLine(5.0, 20, "vlm", "hello"))
    board.post_picture("View1", 7.0, b"jpeg")
    first = reader.news()
    assert first["fresh"]
    assert stamps(first) == [100.1, 100.2, 100.3]
    assert first["steps"][0] == {"stamp": 100.1, "values": [1.0, 2.0], "ok": True}
    assert first["chunk"]["steps"] == [[1.0, 2.0], [3.0, 4.0]]
    assert first["log"] == [{"stamp": 5.0, "level": 20, "name": "vlm", "text": "hello"}]
    assert base64.b64decode(first["pictures"]["View1"]["jpeg"]) == b"jpeg"
    board.post_chunk(chunk(4))
    board.post_bad_picture("View2", 8.0, "cut short")
    second = reader.news()
    assert not second["fresh"]
    assert stamps(second) == [100.4]
    assert second["log"] == []
    assert second["pictures"] == {"View2": {"stamp": 8.0, "error": "cut short"}}
    third = reader.news()
    assert (third["steps"], third["pictures"], third["chunk"]["chunk_id"]) == ([], {}, 4)
    late = Reader(board).news()  # another one gets it all
    assert len(late["steps"]) == 4
    assert set(late["pictures"]) == {"View1", "View2"}


def test_a_slow_reader_gets_only_the_newest_picture(board: Board) -> None:
    reader = Reader(board)
    reader.news()
    for number in range(50):
        board.post_picture("View1", float(number), b"%d" % number)
    assert base64.b64decode(reader.news()["pictures"]["View1"]["jpeg"]) == b"49"


def test_the_past_is_bounded(board: Board) -> None:
    for number in range(5000):
        board.post_chunk(chunk(number))
        board.post_force(Force(number / 10, 0.0, 1.0, 0.5))
        board.post_line(LogLine(number, 20, "vlm", f"line {number}"))
    news = Reader(board).news()
    assert len(news["steps"]) == len(news["force"]) == 1500
    assert [line["text"] for line in news["log"]] == [f"line {n}" for n in range(4800, 5000)]


def test_warnings_stay_when_much_else_is_said(board: Board) -> None:
    reader = Reader(board)
    board.post_line(LogLine(0.0, 30, "vlm", "late"))
    for number in range(1000):
        board.post_line(LogLine(number, 10, "vlm", f"line {number}"))
    board.post_line(LogLine(1000.0, 40, "vlm", "stopped"))
    said = [line["text"] for line in reader.news()["log"]]
    assert said == ["late", *(f"line {n}" for n in range(800, 1000)), "stopped"]  # as they came
    board.post_line(LogLine(1001.0, 20, "vlm", "again"))
    assert [line["text"] for line in reader.news()["log"]] == ["again"]
    for number in range(1000):
        board.post_line(LogLine(number, 30, "vlm", f"warning {number}"))
    assert len(Reader(board).news()["log"]) == 400


def test_a_long_line_is_cut(board: Board) -> None:
    board.post_line(LogLine(0.0, 20, "vlm", "x" * 10_000))
    (line,) = Reader(board).news()["log"]
    assert line["text"] == "x" * 600 + " … (10000 characters)"


def test_chunks_that_come_fast_are_thinned_out_where_they_are_plotted(board: Board) -> None:
    for number in range(101):
        board.post_chunk(replace(CHUNK, chunk_id=number, stamp=100.0 + number / 64))
    news = Reader(board).news()
    assert stamps(news) == [100.0 + number / 64 for number in range(0, 101, 3)]
    assert news["chunk"]["chunk_id"] == 100


@pytest.mark.parametrize(
    "other", [replace(CHUNK, stamp=50.0), replace(CHUNK, stamp=200.0, names=["c", "d"])]
)
def test_time_set_back_and_other_dimensions_start_the_plot_anew(board: Board, other: Chunk) -> None:
    reader = Reader(board)
    board.post_chunk(CHUNK)
    reader.news()
    board.post_chunk(other)
    news = reader.news()
    assert news["fresh"]
    assert stamps(news) == [other.stamp]
    assert not reader.news()["fresh"]


def test_force_set_back_starts_anew(board: Board) -> None:
    reader = Reader(board)
    board.post_force(Force(9.0, 0.0, 1.0, 0.5))
    reader.news()
    board.post_force(Force(2.0, 0.1, 0.3, 0.2))
    news = reader.news()
    assert news["fresh"]
    assert news["force"] == [{"stamp": 2.0, "low": 0.1, "high": 0.3, "last": 0.2}]


def test_forgotten_pictures_are_not_shown_to_the_next(board: Board) -> None:
    board.post_picture("View1", 1.0, b"jpeg")
    board.post_force(Force(9.0, 0.0, 1.0, 0.5))
    board.forget_pictures()
    news = Reader(board).news()
    assert (news["pictures"], news["force"]) == ({}, [])


def test_what_is_no_number_is_null(board: Board) -> None:
    board.post_status({"vl_rate": math.nan, "robot_age": math.inf, "state": 1})
    assert Reader(board).news()["status"]["values"] == {
        "vl_rate": None,
        "robot_age": None,
        "state": 1,
    }


def test_a_late_status_is_explained_until_the_next() -> None:
    board = Board(status_timeout=0.0)
    assert board.status_is_late()
    board.explain_silence("/vla/status has no publisher")
    status = Reader(board).news()["status"]
    assert status["silence"] == "/vla/status has no publisher"
    assert status["age"] > status["timeout"] == 0.0
    board.post_status({"state": 1})
    assert Reader(board).news()["status"]["silence"] == ""
