"""Live view node: shows what runs in a browser, and costs what runs as little as it can."""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

import cv2
from rclpy.clock import Clock
from rclpy.clock_type import ClockType

from vla_inference_ros.core.address import EVERYWHERE, with_port
from vla_inference_ros.core.priority import threads
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.vla_node import StartError, VlaNode, run
from vla_inference_ros.nodes.watched_topics import WatchedTopics
from vla_inference_ros.web.access import Access, check_token, is_local, new_token
from vla_inference_ros.web.board import Board
from vla_inference_ros.web.server import PageServer

_NICE = 10  # all that runs for its purpose goes first
_LINGER = 5.0  # pictures and samples are still heard so long after the last browser [s]
_OF_THE_PORT = (errno.EADDRINUSE, errno.EACCES)  # what is the port's fault, not the host's


@dataclass(frozen=True, slots=True)
class WebViewConfig:
    """Parameters of the live view."""

    web_port: int = parameter(8088, "TCP port of the page", minimum=1, maximum=65535)
    web_host: str = parameter(
        "127.0.0.1",
        "address or name to listen on; * for all, 0.0.0.0 for all of IPv4, which need the token",
    )
    token: str = parameter(
        "",
        "who has it sees the page; '' for none on this machine alone, and for a new one, which is "
        "printed at the start, on any other web_host",
    )
    update_rate: float = parameter(4.0, "news of the page [Hz]", minimum=1.0, maximum=10.0)
    picture_rate: float = parameter(2.0, "pictures of each view [Hz]", minimum=1.0, maximum=10.0)
    status_timeout: float = parameter(
        3.0,
        "without /vla/status for so long, the page says so [s]; more than the monitor's "
        "status_period",
        minimum=0.5,
        maximum=7200.0,
    )
    compressed_topics: list[str] = parameter(
        [f"/camera/{view.lower()}/image_raw/compressed" for view in VIEWS],
        "compressed image topic of View1 to View5; '' for none",
    )


class WebView(VlaNode[WebViewConfig]):
    """Reads topics at the page's rate, in the executor; a worker serves the page."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("web_view", WebViewConfig, **node_arguments)
        topics = self.config.compressed_topics
        if len(topics) != len(VIEWS):
            raise ParameterError(
                f"parameter 'compressed_topics' has {len(topics)} topics, not one for each of "
                f"{', '.join(VIEWS)}"
            )
        self._token = _token(self.config)
        self._board = Board(self.config.status_timeout)
        self._server = self._bound_server()
        used = {view: topic for view, topic in zip(VIEWS, topics, strict=True) if topic}
        self._topics = WatchedTopics(self, self._board, used)
        self._watching = False
        self._watched = 0.0  # when a browser was last there [monotonic s]
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a replay's time may stand still
        self.create_timer(1.0 / self.config.update_rate, self._look, clock=steady)
        self.create_timer(1.0 / self.config.picture_rate, self._look_at_pictures, clock=steady)

    def start(self) -> None:
        """Serve."""
        self.add_worker("web server", self._server.run)
        host = self.config.web_host
        shown = socket.gethostname() if host in ("0.0.0.0", *EVERYWHERE) else host
        address = f"http://{with_port(shown, self.config.web_port)}/"
        self.get_logger().info(f"the live view is at {address}")
        if self._token:  # not for the log, which others read
            print(f"open {address}?token={self._token}", flush=True)

    def release(self) -> None:
        """Release the port."""
        self._server.close()

    def _bound_server(self) -> PageServer:
        config = self.config
        try:
            return PageServer(
                self._board,
                Access(config.web_host, self._token),
                config.web_port,
                now=self.now,
                period=1.0 / config.update_rate,
            )
        except (OSError, UnicodeError) as error:
            if isinstance(error, OSError) and error.errno in _OF_THE_PORT:
                reason = f"parameter 'web_port': port {config.web_port} of {config.web_host}"
                raise StartError(
                    f"{reason} cannot be had: {os.strerror(error.errno)}; choose another"
                ) from error
            raise StartError(
                f"parameter 'web_host': {config.web_host!r} is no address of this machine: {error}"
            ) from error

    def _look(self) -> None:
        now = time.monotonic()
        self._topics.look(now)
        if self._server.browsers:
            self._watched = now
            if not self._watching:
                self._watching = True
                self._topics.watch()
        elif self._watching and now - self._watched > _LINGER:
            self._watching = False
            self._topics.rest()
        self._topics.look_at_samples()

    def _look_at_pictures(self) -> None:
        if self._server.browsers:
            self._topics.look_at_pictures()


def _token(config: WebViewConfig) -> str:
    """The token in force; '' where none is needed."""
    if not config.web_host:
        raise ParameterError("parameter 'web_host' is empty: 127.0.0.1, or * for all")
    if not config.token:
        return "" if is_local(config.web_host) else new_token()
    try:
        check_token(config.token)
    except ValueError as error:
        raise ParameterError(f"parameter 'token': {error}") from error
    return config.token


def main() -> int:
    """Run the node."""
    niceness = min(19, os.getpriority(os.PRIO_PROCESS, 0) + _NICE)
    for thread in threads():  # some libraries have started theirs; later ones take it over
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
    cv2.setNumThreads(1)
    return run(WebView)
