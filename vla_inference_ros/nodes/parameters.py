"""Declares a node's ROS parameters from a dataclass, so that each has one typed home.

A field made with :func:`parameter` becomes a ROS parameter of the same name with its description
and range, read-only unless it is dynamic. :func:`declare` returns the dataclass filled with the
values in force, and :func:`follow` tells of dynamic ones that are set while the node runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

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
    dynamic: bool = False


def parameter(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    dynamic: bool = False,
) -> Any:
    """A dataclass field that is a ROS parameter; a range includes its ends.

    A ``dynamic`` one may be set while the node runs: see :func:`follow`.
    """
    metadata = {"parameter": Specification(description, minimum, maximum, tuple(choices), dynamic)}
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
        _check(name, value, specification)
        values[name] = value
    return config_type(**values)


def follow(node: Node, config: Config, changed: Callable[[Config], None]) -> None:
    """Call ``changed`` in the node's executor with all values each time that some have been set.

    ``config`` is what :func:`declare` returned. Who sets a value that cannot be used is told why.
    """
    known = specifications(type(config))
    values = {name: getattr(config, name) for name in known}

    def check(parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            for given in parameters:
                if given.name in known:
                    _check(given.name, given.value, known[given.name][1])
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def take(parameters: list[Parameter[Any]]) -> None:
        given = {given.name: given.value for given in parameters if given.name in known}
        values.update(given)
        if given:  # not only others, such as use_sim_time
            changed(type(config)(**values))

    node.add_on_set_parameters_callback(check)
    node.add_post_set_parameters_callback(take)


def _check(name: str, value: Any, specification: Specification) -> None:
    """What a descriptor cannot say: choices, and ranges exactly (rclpy allows a little beyond)."""
    low, high = specification.minimum, specification.maximum
    if low is not None and high is not None and not low <= value <= high:
        raise ParameterError(f"parameter {name!r} is {value!r}, not {low:g} to {high:g}")
    if specification.choices and value not in specification.choices:
        raise ParameterError(
            f"parameter {name!r} is {value!r}, not one of {', '.join(specification.choices)}"
        )


def _descriptor(default: Any, specification: Specification) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=specification.description, read_only=not specification.dynamic
    )
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
