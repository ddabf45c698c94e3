"""Declares a node's ROS parameters from a dataclass, so that each has one typed home.

A field made with :func:`parameter` becomes a read-only ROS parameter of the same name with its
description and range; :func:`declare` returns the dataclass filled with the values in force.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

Config = TypeVar("Config")


class ParameterError(ValueError):
    """A parameter has a value that cannot be used; the message names it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Specification:
    """What ``ros2 param describe`` tells of a parameter."""

    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def parameter(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """A dataclass field that is a ROS parameter; a range includes its ends."""
    metadata = {"parameter": Specification(description, minimum, maximum, tuple(choices))}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def specifications(config_type: type) -> dict[str, tuple[Any, Specification]]:
    """(default, specification) of every parameter of a dataclass, by name."""
    defaults = config_type()
    return {
        field.name: (getattr(defaults, field.name), field.metadata["parameter"])
        for field in dataclasses.fields(config_type)
    }


def declare(node: Node, config_type: type[Config]) -> Config:
    """Declare every parameter; ParameterError names the one whose value is wrong."""
    values = {}
    for name, (default, specification) in specifications(config_type).items():
        try:
            value = node.declare_parameter(name, default, _descriptor(default, specification)).value
        except ParameterException as error:
            raise ParameterError(f"parameter {name!r}: {error}") from error
        if value is None:  # what rcl makes of an empty list
            raise ParameterError(f"parameter {name!r} is empty, not like {default!r}")
        if specification.choices and value not in specification.choices:
            raise ParameterError(
                f"parameter {name!r} is {value!r}, not one of {', '.join(specification.choices)}"
            )
        values[name] = value
    return config_type(**values)


def _descriptor(default: Any, specification: Specification) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=specification.description, read_only=True)
    if specification.choices:
        descriptor.additional_constraints = "one of " + ", ".join(specification.choices)
    if specification.minimum is not None and specification.maximum is not None:
        ends = {"from_value": specification.minimum, "to_value": specification.maximum}
        if isinstance(default, int):
            descriptor.integer_range = [IntegerRange(**{k: int(v) for k, v in ends.items()})]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(**{k: float(v) for k, v in ends.items()})
            ]
    return descriptor
