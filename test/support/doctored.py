"""Runs vla-doctor in this process, beside senders that are well or not."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from harness import free_port

from vla_inference_ros.doctor.command import main

LISTEN = "4"  # s


@dataclass(frozen=True, slots=True)
class Ports:
    """Free ones of this host."""

    camera: int = field(default_factory=lambda: free_port(socket.SOCK_STREAM))
    robot: int = field(default_factory=lambda: free_port(socket.SOCK_STREAM))
    sensor: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))

    @property
    def arguments(self) -> list[str]:
        """As launch arguments."""
        names = ("camera", "robot", "sensor")
        return [f"{name}_port:={getattr(self, name)}" for name in names]


class Sender(Protocol):
    """Of vla_inference_ros.sim.senders."""

    def run(self, stop: threading.Event) -> None: ...

    def close(self) -> None: ...


@contextmanager
def sending(*senders: Sender) -> Iterator[None]:
    """Each sender in a thread of its own."""
    stop = threading.Event()
    with ExitStack() as stack:
        for sender in senders:
            stack.callback(sender.close)
            thread = threading.Thread(target=sender.run, args=(stop,))
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        yield


@dataclass(frozen=True, slots=True)
class Examined:
    """The exit status, and the results by check."""

    status: int
    results: dict[str, dict[str, Any]]

    def of(self, check: str) -> tuple[str, str, str]:
        """Status, finding and remedy."""
        result = self.results[check]
        return result["status"], result["finding"], result["remedy"]

    def with_status(self, status: str) -> list[str]:
        """The checks that came out so."""
        return [name for name, result in self.results.items() if result["status"] == status]


def examined(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> Examined:
    """What ``vla-doctor --json`` says."""
    capsys.readouterr()
    status = main([*arguments, "--json"])
    content = json.loads(capsys.readouterr().out)
    results = {result["check"]: result for result in content["results"]}
    assert len(results) == len(content["results"])
    for result in results.values():  # one line each, and a remedy just where there is one to take
        assert result["finding"]
        assert "\n" not in result["finding"] + result["remedy"]
        assert bool(result["remedy"]) is (result["status"] in ("PROBLEM", "WARNING"))
    return Examined(status, results)
