"""The server over real sockets, without ROS."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from ipv6 import needs_ipv6
from ports import free_port

from vla_inference_ros.core.address import with_port
from vla_inference_ros.core.worker import Worker
from vla_inference_ros.web import server as server_module
from vla_inference_ros.web.access import Access
from vla_inference_ros.web.board import Board
from vla_inference_ros.web.server import MOST_BROWSERS, PageServer

TOKEN = "0123456789abcdef"
TIMEOUT = 20.0  # [s]
PERIOD = 0.05  # of the news [s]
SCRIPTS = ("/view.js", "/elements.js", "/plots.js", "/troubles.js")
PATHS = ("/", *SCRIPTS, "/style.css", "/events", "/health")


class Served:
    def __init__(self, token: str) -> None:
        self.port = free_port()
        self.board = Board(3.0)
        access = Access("127.0.0.1", token)
        self.server = PageServer(self.board, access, self.port, now=lambda: 1000.0, period=PERIOD)
        self.worker = Worker("web server", self.server.run)
        self.worker.start()

    def request(
        self, path: str, method: str = "GET", host: str | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", f"127.0.0.1:{self.port}" if host is None else host)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        return connection.getresponse()

    def status(self, path: str, **given: str) -> int:
        with self.request(path, **given) as response:
            return response.status

    @contextmanager
    def events(self, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """An open stream of news."""
        with self.request("/events", **headers) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream"
            yield response

    def wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def news(stream: http.client.HTTPResponse) -> dict[str, Any]:
    line = stream.readline()
    assert line.startswith(b"data: "), line
    assert stream.readline() == b"\n"
    found: dict[str, Any] = json.loads(line[6:])
    return found


@contextmanager
def serving(token: str = "") -> Iterator[Served]:
    served = Served(token)
    try:
        yield served
    finally:
        assert served.worker.stop(5.0)
        served.server.close()
    assert served.worker.error is None


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as served:
        yield served


def test_the_page_and_its_files_are_served_with_a_strict_policy(served: Served) -> None:
    for path, kind, part in (
        ("/", "text/html", b'<script type="module" src="view.js">'),
        ("/view.js", "text/javascript", b"EventSource"),
        ("/elements.js", "text/javascript", b"export function put"),
        ("/plots.js", "text/javascript", b"export function drawAction"),
        ("/troubles.js", "text/javascript", b"export function showTroubles"),
        ("/style.css", "text/css", b"#verdict"),
    ):
        with served.request(path) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == f"{kind}; charset=utf-8"
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Server"] is None
            assert part in response.read()


@pytest.mark.parametrize(
    "path",
    [
        "/server.py",
        "/index.html",
        "/../server.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "//etc/passwd",
        "/page/view.js",
        "/view.js/",
        "/view.js%00.html",
        "/static/../view.js",
    ],
)
def test_nothing_else_is_served(served: Served, path: str) -> None:
    with served.request(path) as response:
        assert (response.status, response.read()) == (404, b"404: Not Found\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/events"])
def test_nothing_can_be_sent(served: Served, method: str, path: str) -> None:
    assert served.status(path, method=method) == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "192.168.1.7"])
def test_another_name_is_refused(served: Served, host: str) -> None:
    for path in PATHS:
        assert served.status(path, host=host) in (400, 403)


def test_another_sites_page_gets_no_news(served: Served) -> None:
    for site in ("cross-site", "same-site"):
        assert served.status("/events", Sec_Fetch_Site=site) == 403
        assert served.status("/health", Sec_Fetch_Site=site) == 403
    with served.events(Sec_Fetch_Site="same-origin") as stream:
        assert news(stream)["fresh"]


def test_without_the_token_there_is_nothing() -> None:
    with serving(TOKEN) as served:
        cookie = f"vla_web_view_{served.port}"
        for path in PATHS:
            assert served.status(path) == 403
            assert served.status(path, Cookie=f"{cookie}={TOKEN[:-1]}x") == 403
            assert served.status(path, Cookie=f"{cookie}=") == 403
            assert served.status(path, Cookie=f"other={TOKEN}") == 403
        assert served.status(f"/?token={TOKEN[:-1]}x") == 403
        assert served.status(f"/?token={'%C3%BC' * 16}") == 403
        assert served.status(f"/events?token={TOKEN}") == 403
        with served.request("/") as response:
            assert b"the link that the node web_view printed" in response.read()


def test_the_link_with_the_token_lets_in_and_is_not_seen_again() -> None:
    with serving(TOKEN) as served:
        with served.request(f"/?token={TOKEN}") as response:
            assert response.status == 302
            assert response.headers["Location"] == "/"
            given = response.headers["Set-Cookie"]
        assert "HttpOnly" in given
        assert "SameSite=Lax" in given
        cookie = given.split(";")[0]
        assert cookie == f"vla_web_view_{served.port}={TOKEN}"
        for path in set(PATHS) - {"/events"}:
            assert served.status(path, Cookie=cookie) == 200
        with served.events(Cookie=cookie) as stream:
            assert news(stream)["now"] == 1000.0


def test_news_come_again_and_again(served: Served) -> None:
    with served.events() as stream:
        assert news(stream)["status"]["values"] is None
        served.board.post_status({"state": 2, "reason": "<b>VLM late</b>"})
        served.wait(lambda: news(stream)["status"]["values"])
        assert news(stream)["status"]["values"] == {"state": 2, "reason": "<b>VLM late</b>"}


def test_so_many_browsers_and_no_more(served: Served) -> None:
    with ExitStack() as stack:
        for _ in range(MOST_BROWSERS):
            news(stack.enter_context(served.events()))
        assert served.server.browsers == MOST_BROWSERS
        with served.request("/events") as response:
            assert response.status == 503
            assert response.read() == b"503: 8 browsers are watching already\n"
        with served.request("/health") as response:
            assert json.loads(response.read()) == {"browsers": 8, "most_browsers": 8}
    served.wait(lambda: served.server.browsers == 0)
    with served.events() as stream:
        assert news(stream)["fresh"]


def idle_connections(served: Served, stack: ExitStack, count: int) -> list[socket.socket]:
    """Some that say nothing, or that never come to the end of what they ask."""
    opened = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", served.port), TIMEOUT)
        opened.append(stack.enter_context(connection))
        if number % 2:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")
    return opened


def test_idle_connections_keep_nobody_out(served: Served) -> None:
    with ExitStack() as stack, served.events() as stream:
        news(stream)
        idle = idle_connections(served, stack, 70)
        assert idle[0].recv(1) == b""  # the oldest have made room
        for path in ("/", "/view.js", "/health"):
            assert served.status(path) == 200
        with served.events() as another:
            news(another)
            idle += idle_connections(served, stack, 200)
            for each in (stream, another):  # who gets news stays
                for _ in range(3):
                    news(each)
        assert served.status("/") == 200


def test_so_many_connections_and_no_more(served: Served) -> None:
    with ExitStack() as stack:
        idle = idle_connections(served, stack, 64)
        idle[0].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle[0].recv(15) == b"HTTP/1.1 200 OK"
        idle_connections(served, stack, 1)
        assert idle[1].recv(1) == b""  # not the one that has asked
        idle[0].settimeout(0.1)
        idle[0].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle[0].recv(1)
    served.wait(lambda: _answers(served))


def _answers(served: Served) -> bool:
    try:
        return served.status("/health") == 200
    except (ConnectionError, http.client.HTTPException):
        return False


def test_a_body_is_refused_unread(served: Served) -> None:
    assert served.status("/", Content_Length=str(1 << 30)) == 400
    assert served.status("/health") == 200


def test_huge_headers_are_refused(served: Served) -> None:
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        served.request("/", X="x" * 100_000)
    assert served.status("/health") == 200


def test_a_slow_browser_gets_the_newest_and_nothing_piles_up(served: Served) -> None:
    size = 4 << 20  # more than the system keeps between the two
    with served.events() as stream:
        news(stream)
        for number in range(60):
            served.board.post_picture("View1", float(number), b"%c" % number * size)
            time.sleep(PERIOD / 2)
        seen: list[float] = []
        while not seen or seen[-1] < 59:
            seen += [picture["stamp"] for picture in news(stream)["pictures"].values()]
    assert len(seen) < 10
    assert seen == sorted(seen)


def test_a_browser_that_takes_nothing_is_let_go(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_LONGEST_SEND", 0.3)
    with served.events() as stream:
        news(stream)
        served.board.post_picture("View1", 1.0, bytes(16 << 20))
        served.wait(lambda: served.server.browsers == 0)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            stream.read()


def test_it_stops_at_once_with_browsers_there() -> None:
    with serving() as served, served.events() as stream, served.events():
        news(stream)
        assert served.worker.stop(5.0)
        assert served.worker.error is None
        with socket.create_server(("127.0.0.1", served.port)):
            pass  # the port is free again


def test_a_port_in_use_is_an_error(served: Served) -> None:
    with pytest.raises(OSError, match="in use"):
        PageServer(Board(3.0), Access("127.0.0.1", ""), served.port, now=time.time, period=1.0)


@pytest.mark.parametrize(
    ("listened", "asked"),
    [
        ("::1", ["::1"]),
        ("[::1]", ["::1"]),
        ("*", ["127.0.0.1", "::1"]),
        ("::", ["127.0.0.1", "::1"]),
    ],
)
@needs_ipv6
def test_it_listens_to_ipv6(listened: str, asked: list[str]) -> None:
    port = free_port()
    access = Access(listened, TOKEN)
    server = PageServer(Board(3.0), access, port, now=lambda: 1000.0, period=PERIOD)
    worker = Worker("web server", server.run)
    worker.start()
    try:
        for host in asked:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
            for path, status in (("/", 403), (f"/?token={TOKEN}", 302)):
                connection.request("GET", path, headers={"Host": with_port(host, port)})
                with connection.getresponse() as response:
                    assert response.status == status
                    response.read()
            connection.close()
    finally:
        worker.stop()
