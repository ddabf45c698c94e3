"""The ROS domain: whether a run would find its own names in it, and the middleware it knows.

Owns what is a clash. Does not own the node that looks, nor import ROS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vla_inference_ros.doctor.heard import Heard
from vla_inference_ros.doctor.result import Result, ok, problem, skipped, warning

# Domains whose ports lie in Linux's range for outgoing connections.
_EPHEMERAL = range(102, 215)


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """``nodes`` are the full names of others, one for each node; ``error`` says why there is no
    domain to look at. ``streams`` are what bridges reported, by node and stream; ``middleware`` is
    the RMW implementation.
    """

    domain: str
    error: str = ""
    middleware: str = ""
    nodes: tuple[str, ...] = ()
    streams: Mapping[tuple[str, str], Heard] = field(default_factory=dict)


def no_clash(facts: DomainFacts, wanted: Sequence[str], *, run_goes_on: bool) -> Result:
    """Whether nodes of the ``wanted`` names are in the domain already. While a run goes on here,
    each of them may be once.
    """
    check = "ROS domain"
    number = facts.domain or "0"
    if facts.error:
        return problem(
            check,
            f"ROS_DOMAIN_ID {number}: no node can be started: {facts.error}",
            "set ROS_DOMAIN_ID to a number from 0 to 101, and RMW_IMPLEMENTATION to "
            "rmw_fastrtps_cpp",
        )
    names = Counter(facts.nodes)
    there = {name: names[f"/{name}"] for name in wanted if names[f"/{name}"]}
    told = ", ".join(name if n == 1 else f"{name} ({n} times)" for name, n in there.items())
    twice = any(number_of > 1 for number_of in there.values())
    if there and run_goes_on and not twice:
        return warning(
            check,
            f"domain {number}: a run goes on, with {told}",
            "nothing, if this is the run to look at; before another one, stop it with Ctrl+C",
        )
    if there:
        return problem(
            check,
            f"domain {number} has nodes of the same names already: {told}",
            "stop that run, on whichever machine it is, or choose another domain: "
            "export ROS_DOMAIN_ID=42, in every shell",
        )
    if number.isdecimal() and int(number) in _EPHEMERAL:
        return warning(
            check,
            f"domain {number} uses ports that Linux gives to outgoing connections",
            "choose a ROS_DOMAIN_ID from 0 to 101",
        )
    return ok(
        check, f"domain {number}, {len(facts.nodes)} other node(s), none of the names", **there
    )


def middleware(facts: DomainFacts) -> Result:
    """Whether the middleware is the one that the package was tested with."""
    check = "middleware"
    if not facts.middleware:
        return skipped(check, "ROS cannot be initialised")
    if facts.middleware != "rmw_fastrtps_cpp":
        return warning(
            check,
            f"{facts.middleware}, with which the package has not been tested",
            "export RMW_IMPLEMENTATION=rmw_fastrtps_cpp, in every shell",
        )
    return ok(check, facts.middleware)
