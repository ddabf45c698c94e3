"""What a bag says of a message type: its definition in full, and the hash that ROS knows it by.

Both come from what the type's package has installed: ``share/<package>/msg/<Type>.msg`` and
``.json``, the type's description of REP 2016.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_inference_ros.graph import prefix

_SEPARATOR = "=" * 80 + "\n"


class UnknownTypeError(ValueError):
    """A message type that is not installed; the message says which."""


@dataclass(frozen=True, slots=True)
class Definition:
    """``text`` is the type's .msg file, then those of the types that it is made of, as the MCAP
    encoding ``ros2msg`` has them; ``hash`` starts with RIHS01_.
    """

    type: str
    text: str
    hash: str


def definition_of(message_type: str) -> Definition:
    """Of a type such as std_msgs/msg/String. Raises UnknownTypeError."""
    description = json.loads(_installed(message_type, ".json"))
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    referenced = description["type_description_msg"]["referenced_type_descriptions"]
    parts = [_installed(message_type, ".msg")]
    for name in (entry["type_name"] for entry in referenced):
        parts.append(f"MSG: {name.replace('/msg/', '/')}\n{_installed(name, '.msg')}")
    text = ("\n" + _SEPARATOR).join(part.rstrip("\n") for part in parts) + "\n"
    return Definition(message_type, text, hashes[message_type])


def message_class(message_type: str) -> Any:
    """The class of a type's messages. Raises UnknownTypeError."""
    package, _, name = message_type.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError, TypeError) as error:  # TypeError: for no name at all
        raise _unknown(message_type) from error


def _installed(message_type: str, suffix: str) -> str:
    """A file of the first installation that has the type, as ament's index would find it; the
    index itself finds nothing without an environment that is set up, which wheels do without.
    """
    package, _, name = message_type.partition("/msg/")
    overlays = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    for place in (*filter(None, overlays), str(prefix()), sys.prefix):
        path = Path(place, "share", package, "msg", name + suffix)
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise _unknown(message_type)


def _unknown(message_type: str) -> UnknownTypeError:
    return UnknownTypeError(
        f"message type {message_type!r} is not installed: is its package built and sourced?"
    )
