"""The bench of the live view: what its client takes of the page, and what it makes of the runs."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import load
import page_client
import pytest
import web_view
from full_rate import Run
from ports import free_port
from report import Row

from vla_inference_ros.core.worker import Worker
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.nodes.web_view import WebViewConfig
from vla_inference_ros.web.access import Access
from vla_inference_ros.web.board import Board, Chunk
from vla_inference_ros.web.server import PageServer

TIMEOUT = 30.0  # [s]
NOW = 1000.0  # [Unix s]
CONFIG = WebViewConfig()


def chunk(number: int) -> Chunk:
    stamp = NOW + number / 10
    return Chunk(number, stamp, 0.1, ["a"], [[1.0]], 1, True, 1, 4, "do it", "tiny", "tiny vlm")


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_client_takes_the_pages_files_and_all_of_its_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[page_client.Message] = []
    made = page_client.message

    def message(*given: Any) -> page_client.Message:
        taken.append(made(*given))
        return taken[-1]

    monkeypatch.setattr(page_client, "message", message)
    port = free_port()
    board, stop, results = Board(3.0), threading.Event(), queue.Queue[tuple[str, Any]]()
    server = PageServer(board, Access("127.0.0.1", ""), port, now=lambda: NOW, period=0.01)
    worker = Worker("web server", server.run)
    given: Any = (port, stop, results)
    client = threading.Thread(target=page_client.take_news, args=given)
    client.start()  # it waits for the server
    worker.start()
    try:
        wait(lambda: taken)
        board.post_chunk(chunk(1))
        board.post_picture("View2", NOW, b"jpeg")
        board.post_bad_picture("View3", NOW, "cut short")
        board.post_chunk(chunk(2))
        wait(lambda: taken[-1].chunk_id == 2)
        shown = len(taken)
        wait(lambda: len(taken) > shown)
    finally:
        stop.set()
        client.join(TIMEOUT)
        assert worker.stop(5.0)
        server.close()
    name, watched = results.get(timeout=TIMEOUT)
    assert name == "page"
    assert set(watched.files) == {"", *server.pages}
    assert watched.messages == taken
    assert [view for each in taken for view in each.ages] == ["View2"]
    assert sum(len(each.lags) for each in taken) == 2


def test_a_message_is_as_old_as_its_stamps_say() -> None:
    news: dict[str, Any] = {
        "fresh": False,
        "chunk": {"chunk_id": 7},
        "steps": [{"stamp": 99.5}, {"stamp": 99.75}],
        "pictures": {"View1": {"stamp": 99.0, "jpeg": ""}, "View2": {"stamp": 9.0, "error": "no"}},
    }
    text = json.dumps(news).encode()
    expected = page_client.Message(5.0, len(text), 7, (0.5, 0.25), {"View1": 1.0})
    assert page_client.message(text, 5.0, 100.0) == expected
    first = page_client.message(json.dumps(news | {"fresh": True}).encode(), 5.0, 100.0)
    assert first.lags == ()  # they may have waited on the board


def messages(*, period: float = 0.25, lag: float = 0.4) -> list[page_client.Message]:
    """Those of 10 s; pictures with every second one."""
    return [
        page_client.Message(
            arrival=number * period,
            size=1000,
            chunk_id=10 + number,
            lags=(lag,),
            ages=dict.fromkeys(VIEWS, 0.2) if number % 2 else {},
        )
        for number in range(int(10 / period) + 1)
    ]


def run(late: float = 0.0, taken: list[page_client.Message] | None = None) -> Run:
    """10 s in which every second action is ``late`` [ms]."""
    actions = load.Actions()
    for number in range(1, 100):
        actions.arrivals.append(number / 10)
        actions.received.append(number / 10 + (late / 1e3 if number % 2 else 0.0))
        actions.chunk_ids.append(number)
    reports = {
        "actions": actions,
        "realtime loop": [],
        "page": page_client.Watched(messages() if taken is None else taken, [""], 0.01),
    }
    return Run(reports, {"vlm": 0.25, "web_view": 0.125}, 0.0, 10.0, NOW, 0)


def row(rows: list[Row], name: str) -> Row:
    (found,) = [each for each in rows if name in each.name]
    return found


def test_a_page_that_keeps_up_is_told_so() -> None:
    rows = web_view.client_rows(run(), CONFIG)
    assert [each.name for each in rows if each.kept is False] == []
    assert row(rows, "the page's news").value == "4.10"
    assert row(rows, "pictures of View5").value == "2.00"
    assert row(rows, "chunk's stamp").value == "400 / 400"
    assert row(rows, "action chunks on the page").value == "40 of 40"


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        (messages(period=0.5), "the page's news"),
        (messages(lag=1.5), "chunk's stamp"),
        (messages()[:5] + messages()[6:], "action chunks on the page"),
        ([each for each in messages() if not each.ages], "pictures of View3"),
        ([], "picture's stamp"),
    ],
)
def test_a_page_that_does_not_keep_up_is_told(taken: list[page_client.Message], name: str) -> None:
    assert row(web_view.client_rows(run(taken=taken), CONFIG), name).kept is False


def test_the_cost_is_the_difference_of_the_medians() -> None:
    without = [run(1.0), run(9.0), run(1.5)]
    kept = web_view.verdict_rows(without, [run(2.0), run(0.5), run(2.25)], 1.0)
    assert row(kept, "difference") == Row("difference [ms]", "+0.500", "<= 1", True)
    assert row(kept, "100 ms| without [ms]").value == "1.500 (1.000 9.000 1.500)"
    assert row(kept, "of it web_view").value == "0.125 (0.125 0.125 0.125)"
    missed = web_view.verdict_rows(without, [run(2.75), run(0.5), run(30.0)], 1.0)
    assert row(missed, "difference") == Row("difference [ms]", "+1.250", "<= 1", False)
    assert row(web_view.verdict_rows(without, [run(50.0)], None), "difference").kept is None
