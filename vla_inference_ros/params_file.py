"""Reads a parameters file as far as it has to be one at all.

Owns the refusal of what holds no nodes, and the names that no node takes: ROS takes such a file,
and the defaults hold without a word. Does not own what the parameters mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vla_inference_ros.launch_arguments import ArgumentError
from vla_inference_ros.mistyped import nearest

# Of rclpy itself, and of every node.
ROS_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides")


class SettingsError(ArgumentError):
    """The parameters file cannot be used; the message says why and what to do."""


def read_nodes(file: Path) -> dict[Any, Any]:
    """What the file holds for each node or namespace. Raises :class:`SettingsError`."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"params_file {file} cannot be read: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such date
        reason = " ".join(str(error).split())
        raise SettingsError(f"params_file {file} is no YAML: {reason}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"params_file {file} holds no nodes: copy config/async.yaml")
    return content


def mistyped_names(file: Path, defaults: Path) -> list[str]:
    """What is to be said of a file's names that are none, in words: parameters that a node of ours
    has not, by the file of ``defaults``, and names of nodes that are nearly ours. Others' nodes may
    stand there too. Raises :class:`SettingsError`.
    """
    known = {str(node): _parameters(entry) for node, entry in read_nodes(defaults).items()}
    told = []
    for key, entry in read_nodes(file).items():
        node = str(key).removeprefix("/")
        if node not in known and (meant := nearest(node, known)):
            told.append(f"node {node!r} is none of ours: is {meant} meant?")
        for name in _parameters(entry) - {*known.get(node, ()), *ROS_PARAMETERS}:
            if node in known:
                meant = nearest(name, known[node])
                ask = f"is {meant} meant?" if meant else "docs/parameters.md has all"
                told.append(f"{node} has no parameter {name!r}: {ask}")
    return [f"params_file {file}: {each}" for each in sorted(told)]


def _parameters(entry: object) -> set[str]:
    """The names of a node's parameters; none of what is no node, as a namespace."""
    parameters = entry.get("ros__parameters") if isinstance(entry, dict) else None
    return set(map(str, parameters)) if isinstance(parameters, dict) else set()
