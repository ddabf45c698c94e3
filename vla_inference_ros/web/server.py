"""Serves the page and its news to browsers: one thread, tornado, nothing but GET.

The page's files are read once and served by their exact names, so that no path leads elsewhere. A
browser gets its news as server-sent events; each is made when the one before has left, of what is
newest then.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any

from tornado import web
from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_sockets

from vla_inference_ros.core.address import EVERYWHERE, plain
from vla_inference_ros.web.access import Access
from vla_inference_ros.web.board import Board

MOST_BROWSERS = 8  # that get news at a time
_MOST_CONNECTIONS = 64
_LONGEST_SEND = 10.0  # a browser that has not taken its news after so long is let go [s]
_SEND_BUFFER = 1 << 16  # of a connection in the system: what waits there gets old [bytes]
_IDLE = 30.0  # a connection without a request is closed after so long [s]
_MOST_HEADERS = 1 << 14  # of a request [bytes]
_READ_BUFFER = 1 << 16  # of a connection [bytes]
_LOOK_PERIOD = 0.1  # how often the server looks whether it should stop [s]
_GOODBYE = 0.5  # that open connections may take to close [s]
_COOKIE_LIFE = 30  # of the token in a browser [days]

_PAGE = {
    "": ("index.html", "text/html; charset=utf-8"),
    **{
        script: (script, "text/javascript; charset=utf-8")
        for script in ("view.js", "elements.js", "plots.js", "troubles.js")
    },
    "style.css": ("style.css", "text/css; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class PageServer:
    """Bound to its port from the start; ``run`` in a thread of its own."""

    def __init__(
        self,
        board: Board,
        access: Access,
        port: int,
        *,
        now: Callable[[], float],
        period: float,
    ) -> None:
        """``now`` is ROS time [Unix s]; each browser gets news every ``period`` [s].

        Raises OSError if the port cannot be had, and UnicodeError for what is no host's name.
        """
        self.board, self.access, self.period, self.now = board, access, period, now
        self.cookie = f"vla_web_view_{port}"  # a browser takes all ports of a host for one
        self.browsers = 0  # that get news now; read by other threads
        self.connections: _Connections | None = None
        self.stopping = False
        folder = Path(__file__).with_name("page")
        self.pages = {
            name: (kind, (folder / file).read_bytes()) for name, (file, kind) in _PAGE.items()
        }
        everywhere = access.host in EVERYWHERE  # of IPv4 and IPv6: tornado makes a socket for each
        self._sockets = bind_sockets(port, None if everywhere else plain(access.host))
        for each in self._sockets:
            each.setsockopt(SOL_SOCKET, SO_SNDBUF, _SEND_BUFFER)

    def run(self, stopping: threading.Event) -> None:
        """Serve until ``stopping`` is set."""
        asyncio.run(self._serve(stopping))

    def close(self) -> None:
        """Release the port; of one that has run, that is done."""
        for each in self._sockets:
            each.close()

    async def _serve(self, stopping: threading.Event) -> None:
        page = {"server": self}
        application = web.Application(
            [
                (r"/events", _Events, page),
                (r"/health", _Health, page),
                (r"/([a-z.]*)", _Page, page),
            ],
            default_handler_class=_Nothing,
            default_handler_args=page,
            log_function=lambda handler: None,
        )
        server = _Connections(
            application,
            idle_connection_timeout=_IDLE,
            body_timeout=_IDLE,
            max_header_size=_MOST_HEADERS,
            max_body_size=1,  # nothing is sent here
            max_buffer_size=_READ_BUFFER,
        )
        self.connections = server
        server.add_sockets(self._sockets)
        while not stopping.is_set():
            await asyncio.sleep(_LOOK_PERIOD)
        self.stopping = True
        server.stop()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(server.close_all_connections(), _GOODBYE)


class _Connections(HTTPServer):
    """Takes so many connections; one more takes the place of that which has asked for nothing for
    longest, so that idle ones keep nobody out. Those that get news are not idle.
    """

    def initialize(self, *given: Any, **named: Any) -> None:
        super().initialize(*given, **named)
        self._open: dict[IOStream, None] = {}  # the one that asked last stands last
        self.busy: set[IOStream] = set()  # that get news

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if len(self._open) >= _MOST_CONNECTIONS:
            idle = next(each for each in self._open if each not in self.busy)
            del self._open[idle]
            idle.close()
        self._open[stream] = None
        super().handle_stream(stream, address)

    def asks(self, stream: IOStream) -> None:
        """A connection asks for something."""
        if stream in self._open:
            del self._open[stream]
            self._open[stream] = None

    def on_close(self, server_conn: object) -> None:
        if isinstance(server_conn, HTTP1ServerConnection):
            self._open.pop(server_conn.stream, None)
        super().on_close(server_conn)


class _Handler(web.RequestHandler):
    """What all answers share: who is let in, headers, and errors in one line."""

    SUPPORTED_METHODS = ("GET",)

    def initialize(self, server: PageServer) -> None:
        self.server = server

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    @property
    def stream(self) -> IOStream:
        """The connection's."""
        assert isinstance(self.request.connection, HTTP1Connection)
        return self.request.connection.stream

    @property
    def connections(self) -> _Connections:
        """All that are open."""
        assert self.server.connections is not None
        return self.server.connections

    def prepare(self) -> Awaitable[None] | None:
        self.connections.asks(self.stream)
        if not self.server.access.is_our_name(self.request.headers.get("Host", "")):
            raise web.HTTPError(403, reason="Not a name of this server: use its address")
        if not self.is_let_in():
            raise web.HTTPError(403, reason="Open the link that the node web_view printed")
        return None

    def is_let_in(self) -> bool:
        """By the token in the browser's cookie."""
        return self.server.access.is_right(self.get_cookie(self.server.cookie) or "")

    def refuse_other_sites(self) -> None:
        """A page from elsewhere could not read the answer, but would take a browser's place."""
        if self.request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise web.HTTPError(403, reason="Only the page itself asks for this")

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {self._reason}\n")


class _Nothing(_Handler):
    def prepare(self) -> Awaitable[None] | None:
        super().prepare()
        raise web.HTTPError(404)


class _Page(_Handler):
    """The page's files; the link with the token becomes a cookie, so that it is not seen again."""

    def is_let_in(self) -> bool:
        return super().is_let_in() or self._has_link()

    def get(self, name: str) -> None:
        if name not in self.server.pages:
            raise web.HTTPError(404)
        if self.get_query_argument("token", ""):
            if self._has_link():
                self.set_cookie(
                    self.server.cookie,
                    self.get_query_argument("token"),
                    expires_days=_COOKIE_LIFE,
                    httponly=True,
                    samesite="Lax",
                )
            self.redirect("/")
            return
        kind, content = self.server.pages[name]
        self.set_header("Content-Type", kind)
        self.write(content)

    def _has_link(self) -> bool:
        token = self.get_query_argument("token", "")
        return bool(token) and self.server.access.is_right(token)


class _Health(_Handler):
    """Tells a page that gets no news whether there is a place for it."""

    def get(self) -> None:
        self.refuse_other_sites()
        self.write({"browsers": self.server.browsers, "most_browsers": MOST_BROWSERS})


class _Events(_Handler):
    """News for one browser, as long as it stays."""

    def initialize(self, server: PageServer) -> None:
        super().initialize(server)
        self._gone = asyncio.Event()

    def on_connection_close(self) -> None:
        self._gone.set()

    async def get(self) -> None:
        self.refuse_other_sites()
        if self.server.browsers >= MOST_BROWSERS:
            raise web.HTTPError(503, reason=f"{MOST_BROWSERS} browsers are watching already")
        self.set_header("Content-Type", "text/event-stream")
        self.server.browsers += 1
        stream = self.stream
        self.connections.busy.add(stream)
        try:
            await self._tell()
        except StreamClosedError:
            pass  # it has left
        except asyncio.TimeoutError:
            self.detach().close()
        finally:
            self.server.browsers -= 1
            self.connections.busy.discard(stream)

    async def _tell(self) -> None:
        """News again and again; TimeoutError if the browser does not take them."""
        place = 0
        while not (self._gone.is_set() or self.server.stopping):
            news, place = self.server.board.news(self.server.now(), place)
            self.write(b"data: " + news + b"\n\n")
            await asyncio.wait_for(self.flush(), _LONGEST_SEND)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._gone.wait(), self.server.period)
