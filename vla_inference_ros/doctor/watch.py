"""A node of its own with which vla-doctor looks round the ROS domain."""

from __future__ import annotations

import time
from collections.abc import Sequence

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from vla_inference_ros.doctor.domain import DomainFacts
from vla_inference_ros.doctor.reports import ReportWatch
from vla_inference_ros.nodes.middleware import settings_for_this_process

NAME = "vla_doctor"
_SPIN = 0.1  # [s]


class DomainWatch:
    """A node in a domain (``domain`` is ROS_DOMAIN_ID's text) that looks while it spins; ``views``
    are those whose pictures' sizes are to be read from their topics. To be closed.
    """

    def __init__(self, domain: str, views: Sequence[str]) -> None:
        self._domain, self._error = domain, ""
        self._context = rclpy.Context()
        self._executor: SingleThreadedExecutor | None = None
        try:
            with settings_for_this_process():
                rclpy.init(
                    args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO
                )
                self._node = rclpy.create_node(
                    NAME, context=self._context, start_parameter_services=False, enable_rosout=False
                )
        except Exception as error:  # rclpy raises its own for each layer, and RuntimeError
            self._error = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return
        self._watch = ReportWatch(self._node, views)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def look(self, seconds: float) -> DomainFacts:
        """What is in the domain after so many seconds."""
        end = time.monotonic() + seconds
        if self._executor is None:
            time.sleep(seconds)
            return DomainFacts(self._domain, self._error)
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=_SPIN)
        return DomainFacts(
            self._domain,
            middleware=rclpy.get_rmw_implementation_identifier(),
            nodes=_others(self._node),
            streams=self._watch.streams(seconds),
        )

    def close(self) -> None:
        """Leave the domain."""
        if self._executor is not None:
            self._executor.shutdown(timeout_sec=1.0)
            self._node.destroy_node()
        if self._context.ok():
            self._context.shutdown()


def _others(node: Node) -> tuple[str, ...]:
    found = node.get_node_names_and_namespaces()
    names = [f"{namespace.rstrip('/')}/{name}" for name, namespace in found]
    return tuple(sorted(name for name in names if name != f"/{NAME}"))
