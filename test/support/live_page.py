"""A browser without a window that stays open on a page, driven by the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import WebSocketClientConnection, websocket_connect

TIMEOUT = 60.0  # [s]; a browser that draws without a GPU is slow on a busy machine
_EVERY = 0.05  # between two looks at what a test waits for [s]
_LARGEST = 64 << 20  # message of the protocol [bytes]


class Page:
    """What is on the page, and what the browser's console complains of."""

    def __init__(self, socket: WebSocketClientConnection, loop: asyncio.AbstractEventLoop) -> None:
        self._socket, self._loop = socket, loop
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        for domain in ("Runtime", "Log", "Page"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, and its answer."""
        return self._loop.run_until_complete(self._command(method, parameters))

    def open(self, address: str) -> None:
        """Go to a page."""
        self.command("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as far as JSON can tell it."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def value(self, name: str) -> str:
        """The text that the page shows as a value."""
        found = f'document.querySelector(`[data-value="{name}"]`)?.textContent ?? ""'
        return str(self.evaluate(found))

    def wait(self, expression: str, repeat: Any = lambda: None) -> Any:
        """The value of an expression as soon as it is true; meanwhile call ``repeat``."""
        deadline = time.monotonic() + TIMEOUT
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, (
                expression,
                self.evaluate("document.body.innerText"),
            )
            repeat()
            time.sleep(_EVERY)
        return value

    def wait_for_value(self, name: str, text: str, repeat: Any = lambda: None) -> None:
        """Wait until the page shows a value with ``text`` in it."""
        shown = f'document.querySelector(`[data-value="{name}"]`)?.textContent'
        self.wait(f"{shown}?.includes({json.dumps(text)})", repeat)

    def screenshot(self, file: Path) -> None:
        """The window as a PNG."""
        file.write_bytes(base64.b64decode(self.command("Page.captureScreenshot")["data"]))

    async def _command(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        request = {"id": number, "method": method, "params": parameters}
        await self._socket.write_message(json.dumps(request))
        while True:
            text = await asyncio.wait_for(self._socket.read_message(), TIMEOUT)
            assert text is not None, "the browser has closed the connection"
            message = json.loads(text)
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, given = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(given["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(given["args"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            entry = given["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")


@contextmanager
def live_page(command: str, profile: Path, *, size: str = "1600,1200") -> Iterator[Page]:
    """An empty page of a browser; ``profile`` is an empty folder for the browser's files."""
    loop = asyncio.new_event_loop()
    process = subprocess.Popen(
        [
            command,
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
            *("--disable-background-networking", "--remote-debugging-port=0"),
            *(f"--user-data-dir={profile}", f"--window-size={size}", "about:blank"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield loop.run_until_complete(_first_page(loop, process, profile))()
    finally:
        process.terminate()
        process.wait(TIMEOUT)
        loop.close()


async def _first_page(
    loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes], profile: Path
) -> Any:
    told = profile / "DevToolsActivePort"
    deadline = time.monotonic() + TIMEOUT
    while not (told.exists() and "\n" in told.read_text(encoding="utf-8")):
        assert process.poll() is None, f"{process.args!r} has ended"
        assert time.monotonic() < deadline, "the browser has not said its port"
        await asyncio.sleep(_EVERY)
    port = told.read_text(encoding="utf-8").split("\n")[0]
    while True:
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json/list")
        pages = [each for each in json.loads(answer.body) if each["type"] == "page"]
        if pages:
            break
        assert time.monotonic() < deadline, "the browser has no page"
        await asyncio.sleep(_EVERY)
    socket = await websocket_connect(pages[0]["webSocketDebuggerUrl"], max_message_size=_LARGEST)
    return lambda: Page(socket, loop)
