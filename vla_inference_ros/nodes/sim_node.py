"""What the three simulated senders share as nodes: one sender, run in an owned thread."""

from __future__ import annotations

import threading
from typing import Protocol

from vla_inference_ros.nodes.parameters import Config
from vla_inference_ros.nodes.vla_node import VlaNode

_LOOK_PERIOD = 5.0  # how often dropped and skipped packets are looked for [s]


class Sender(Protocol):
    """A simulated sender; ``skipped`` counts what was not made in time."""

    sent: int
    skipped: int

    def run(self, stop: threading.Event) -> None:
        """Send until ``stop`` is set."""

    def close(self) -> None:
        """Release the socket."""


class SimNode(VlaNode[Config]):
    """A node around one sender."""

    _sender: Sender | None = None
    _skipped = 0

    def send_with(self, sender: Sender, what: str) -> None:
        """Start sending; the node owns the sender from here on."""
        self._sender = sender
        self.add_worker("sender", sender.run)
        self.create_timer(_LOOK_PERIOD, self._look)
        self.get_logger().info(f"simulated: {what}")

    def release(self) -> None:
        """Close the sender."""
        if self._sender is not None:
            self._sender.close()

    def _look(self) -> None:
        if self._sender is not None and self._sender.skipped > self._skipped:
            self.get_logger().warning(
                f"{self._sender.skipped - self._skipped} packets were not sent because this "
                "machine is too slow: lower the rate (cameras: or use pool)"
            )
            self._skipped = self._sender.skipped
