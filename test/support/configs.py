"""The nodes' parameters, found from a node's name, and how files for people write their limits."""

from __future__ import annotations

import importlib
from typing import Any

from vla_inference_ros.nodes.parameters import Specification


def config_type(node: str) -> type:
    """The dataclass of a node's parameters."""
    module = importlib.import_module(f"vla_inference_ros.nodes.{node}")
    found: type = getattr(module, "".join(part.title() for part in node.split("_")) + "Config")
    return found


def limits(default: Any, specification: Specification) -> str:
    """What stands behind a parameter's description: its choices or its range."""
    if specification.choices:
        return "; " + ", ".join(specification.choices)
    if specification.minimum is None or specification.maximum is None:
        return ""
    ends = (specification.minimum, specification.maximum)
    low, high = (f"{end:.0f}" if isinstance(default, int) else f"{end:g}" for end in ends)
    return f"; {low} to {high}"
