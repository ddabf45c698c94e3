"""Who watches the live view in a timing run: a client that takes all its news, or a real browser.

Each body is a process of its own, as those of ``load`` are.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from launched import cpu_seconds_of
from load import Results

_START_LIMIT = 60.0  # until the page is served [s]
_LONGEST_SILENCE = 10.0  # of the page [s]
_TRY_AGAIN = 0.1  # [s]
_LOOK_PERIOD = 0.5  # between two looks at a browser [s]
_FILE = re.compile(r'(?:(?:src|href)="|from "\./)([a-z]+\.[a-z]+)"')
_AS_THE_PAGE = {"Accept": "text/event-stream", "Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True, slots=True)
class Message:
    """One piece of news. ``lags`` [s] are from the stamps of the action chunks that are new in it
    to its arrival, ``ages`` [s] from the stamp of each view's new picture, by its name.
    """

    arrival: float  # [monotonic s]
    size: int  # [bytes]
    chunk_id: int  # of the newest action chunk; 0: none yet
    lags: tuple[float, ...]
    ages: dict[str, float]


@dataclass(slots=True)
class Watched:
    """What the client took. ``cpu`` [cores] is its own, from the first message to the last."""

    messages: list[Message] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    cpu: float = 0.0


@dataclass(slots=True)
class Browsed:
    """What was seen of a browser, again and again: its CPU time so far, and how many browsers got
    news.
    """

    times: list[float] = field(default_factory=list)  # [monotonic s]
    cpu_seconds: list[float] = field(default_factory=list)
    browsers: list[int] = field(default_factory=list)


def take_news(port: int, stop: Event, results: Results) -> None:
    """The page's files, then its news one by one, each read through."""
    watched = Watched()
    _wait_until_served(port, stop)
    if not stop.is_set():
        watched.files = _files(port)
        began, cpu = time.monotonic(), time.process_time()
        for text in _events(port, stop):
            watched.messages.append(message(text, time.monotonic(), time.time()))
        watched.cpu = (time.process_time() - cpu) / (time.monotonic() - began)
    stop.wait()
    results.put(("page", watched))


def browse(command: str, port: int, stop: Event, results: Results) -> None:
    """A browser without a window, of which only the cost and its being there are seen."""
    browsed = Browsed()
    _wait_until_served(port, stop)
    with _browser(command, f"http://127.0.0.1:{port}/") as session:
        while not stop.wait(_LOOK_PERIOD):
            try:
                browsers = int(json.loads(_get(port, "/health"))["browsers"])
            except ConnectionError:
                break  # the launch has ended
            browsed.times.append(time.monotonic())
            browsed.cpu_seconds.append(_session_cpu(session))
            browsed.browsers.append(browsers)
    stop.wait()
    results.put(("browser", browsed))


def message(text: bytes, arrival: float, arrival_unix: float) -> Message:
    """The news in one server-sent event, that came at ``arrival`` [monotonic s, Unix s]."""
    news: dict[str, Any] = json.loads(text)
    past = [] if news["fresh"] else news["steps"]  # what was before says nothing of the way here
    return Message(
        arrival=arrival,
        size=len(text),
        chunk_id=news["chunk"]["chunk_id"] if news["chunk"] else 0,
        lags=tuple(arrival_unix - step["stamp"] for step in past),
        ages={
            view: arrival_unix - picture["stamp"]
            for view, picture in news["pictures"].items()
            if "jpeg" in picture
        },
    )


def _wait_until_served(port: int, stop: Event) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while not stop.wait(_TRY_AGAIN):
        try:
            _get(port, "/health")
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LONGEST_SILENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        if response.status != 200:
            raise ConnectionError(f"{path}: {response.status} {response.reason}")
        return response.read()
    finally:
        connection.close()


def _files(port: int) -> list[str]:
    """The names of the page's files, each taken: '' for the page itself, and what they name."""
    found = [""]
    for name in found:  # it grows meanwhile
        text = _get(port, f"/{name}").decode()
        found += [other for other in dict.fromkeys(_FILE.findall(text)) if other not in found]
    return found


def _events(port: int, stop: Event) -> Iterator[bytes]:
    """The data of each server-sent event, until the server ends or ``stop`` is set."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LONGEST_SILENCE)
    try:
        connection.request("GET", "/events", headers=_AS_THE_PAGE)
        with connection.getresponse() as response:
            while not stop.is_set() and (line := _line(response)):
                if line.startswith(b"data: "):
                    yield line[len(b"data: ") :]
    finally:
        connection.close()


def _line(response: http.client.HTTPResponse) -> bytes:
    """The next line; b'' where the server has ended."""
    try:
        return response.readline()
    except (ConnectionError, http.client.HTTPException):
        return b""


@contextmanager
def _browser(command: str, address: str) -> Iterator[int]:
    """The session that all processes of the browser are in."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                command,
                *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-background-networking", "--remote-debugging-port=0"),
                *(f"--user-data-dir={profile}", "--window-size=1600,1240", address),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def _session_cpu(session: int) -> float:
    """CPU time of all processes of a session so far."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            total += cpu_seconds_of(folder.name) if int(fields[3]) == session else 0.0
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return total
