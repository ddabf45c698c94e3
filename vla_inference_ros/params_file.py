"""Reads a parameters file as far as it has to be one at all.

Owns the refusal of what holds no nodes: ROS takes such a file, and every default holds without a
word. Does not own what the parameters mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vla_inference_ros.launch_arguments import ArgumentError


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
