"""The parameters that say how the kernel should treat a node's threads."""

from __future__ import annotations

from dataclasses import dataclass

from vla_inference_ros.nodes.parameters import parameter


def priority_parameter(default: int, except_for: str = "") -> int:
    """The parameter field ``realtime_priority``."""
    priority: int = parameter(
        default,
        f"real-time priority (SCHED_FIFO) of the node's threads; 0 for ordinary ones{except_for}",
        minimum=0,
        maximum=99,
    )
    return priority


@dataclass(frozen=True, slots=True)
class ThreadConfig:
    """Parameters of every node that has a thread of its own to work in."""

    realtime_priority: int = priority_parameter(5)  # under the action expert's
    cpu_affinity: str = parameter(
        "", "CPUs that the node may use, as taskset writes them, such as 0,2-3; '' for all"
    )
