"""The log of the live view's page, looked at with a real browser."""

from __future__ import annotations

import socket
from pathlib import Path

from harness import LATCHED, Listener, free_port, running
from live_page import live_page
from live_view import BROWSER, needs_browser
from rcl_interfaces.msg import Log


@needs_browser
def test_a_warning_stays_when_much_else_is_said(listener: Listener, tmp_path: Path) -> None:
    assert BROWSER is not None
    port = free_port(socket.SOCK_STREAM)

    def say(level: int, text: str) -> None:
        listener.deliver(Log(level=level, name="vlm", msg=text), "/rosout", LATCHED)

    with running("web_view", web_port=port) as node, live_page(BROWSER, tmp_path) as page:
        node.wait_until_said("the live view is at")
        page.open(f"http://127.0.0.1:{port}/")
        page.wait('document.querySelector("#log li") !== null')  # the node's own line
        say(Log.WARN, "late")
        page.wait('document.querySelector("#log li.WARN") !== null')
        for batch in range(4):
            for number in range(100):  # less than its inbox holds
                say(Log.DEBUG, f"{batch}.{number}")
            page.wait(f'document.querySelector("#log .text").textContent === "{batch}.99"')
        lines = '[...document.querySelectorAll("#log .text")].map(line => line.textContent)'
        shown = page.evaluate(lines)
        newest = [f"{batch}.{number}" for batch in (3, 2) for number in reversed(range(100))]
        assert shown == [*newest, "late"]
        assert page.complaints == []
