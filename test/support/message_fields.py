"""Whether a field path such as ``robot_state/joint_position[2]`` exists in a message type."""

from __future__ import annotations

import re
from typing import Any

from vla_inference_ros.recording.definitions import message_class

NUMBERS = frozenset(
    ["boolean", "octet", "float", "double"]
    + [f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64)]
)
_SEQUENCE = re.compile(r"sequence<(.+?)(?:, (\d+))?>")
_ARRAY = re.compile(r"(.+)\[(\d+)\]")
_PART = re.compile(r"(\w+)(?:\[(\d+)\])?")


def field_type(message_type: str, path: str) -> str:
    """The type of the field at a path with ``/`` between its parts, such as ``double`` or
    ``sequence<float>``. LookupError tells what there is not.
    """
    kind = message_type
    for part in path.split("/"):
        parsed = _PART.fullmatch(part)
        if parsed is None:
            raise LookupError(f"{path}: {part!r} is no field")
        fields = _fields(kind)
        if parsed[1] not in fields:
            raise LookupError(f"{path}: {kind} has no field {parsed[1]!r}")
        kind = fields[parsed[1]]
        if parsed[2] is not None:
            kind = _element(kind, int(parsed[2]), path)
    return kind


def _fields(kind: str) -> dict[str, str]:
    if "/" not in kind or kind.startswith("sequence<") or kind.endswith("]"):
        return {}
    package, _, name = kind.replace("/msg/", "/").partition("/")
    found: dict[str, Any] = message_class(f"{package}/msg/{name}").get_fields_and_field_types()
    return found


def _element(kind: str, index: int, path: str) -> str:
    if sequence := _SEQUENCE.fullmatch(kind):
        size = sequence[2]
        element = sequence[1]
    elif array := _ARRAY.fullmatch(kind):
        element, size = array[1], array[2]
    else:
        raise LookupError(f"{path}: {kind} has no elements")
    if size is not None and index >= int(size):
        raise LookupError(f"{path}: {kind} has no element {index}")
    return element
