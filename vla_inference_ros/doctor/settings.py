"""What the launch arguments and the parameters file together say, and whether the file makes sense.

Owns the order of precedence: an argument, then the file, then the package's own file, which holds
every default. Does not own what the parameters mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_inference_ros.doctor.result import Result, ok, problem, warning
from vla_inference_ros.graph import SIM_NODES, Graph, build, share
from vla_inference_ros.launch_arguments import BAG_RECORDER, FAULT_NODE, RECORDER
from vla_inference_ros.params_file import ROS_PARAMETERS, SettingsError, read_nodes

_CHECK = "parameters file"
_ANY_NODE = "/**"


@dataclass(frozen=True, slots=True)
class Settings:
    """The nodes that a launch would start, and the value of every parameter, by node.

    ``strange`` are entries of the file that no node takes, ``wrong`` those whose type no node
    would take, in words; their defaults stand in for them.
    """

    graph: Graph
    parameters: Mapping[str, Mapping[str, Any]]
    strange: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return tuple(node.name for node in self.graph.nodes)

    @property
    def sim(self) -> bool:
        """Whether simulated senders are started too."""
        return SIM_NODES[0] in self.nodes

    @property
    def faults(self) -> bool:
        """Whether the fault injector is started too."""
        return FAULT_NODE in self.nodes

    @property
    def recorders(self) -> tuple[str, ...]:
        """The nodes that save."""
        return tuple(name for name in (RECORDER, BAG_RECORDER) if name in self.nodes)

    def of(self, node: str, parameter: str) -> Any:
        """A parameter's value."""
        return self.parameters[node][parameter]


def read_settings(given: Mapping[str, str]) -> Settings:
    """From the launch arguments that were given, by name; raises graph.ArgumentError for these, and
    SettingsError for the file that they name.
    """
    graph = build(given)
    known = {name: dict(values) for name, values, _ in _entries(share() / "config" / "async.yaml")}
    strange: list[str] = []
    wrong: list[str] = []
    parameters = {name: dict(values) for name, values in known.items()}
    for node, values, is_for_all in _entries(graph.params_file):
        names = list(known) if is_for_all else [node]
        if not is_for_all and node not in known:
            strange.append(f"node {node!r}")
            continue
        for parameter, value in values.items():
            takers = [name for name in names if parameter in known[name]]
            if not takers and parameter not in ROS_PARAMETERS:
                strange.append(parameter if is_for_all else f"{node}.{parameter}")
            for taker in takers:
                if complaint := _complaint(value, known[taker][parameter]):
                    wrong.append(f"{taker}.{parameter} is {value!r}, {complaint}")
                else:
                    parameters[taker][parameter] = value
    for spec in graph.nodes:
        parameters.setdefault(spec.name, {}).update(spec.parameters)
    return Settings(graph, parameters, tuple(strange), tuple(wrong))


def parameters_file(settings: Settings) -> Result:
    """Whether the nodes take what the file holds."""
    file = settings.graph.params_file
    if settings.wrong:
        return problem(
            _CHECK,
            f"{file}: {'; '.join(settings.wrong)}",
            "ROS tells whole numbers, decimals and texts apart: write it as config/async.yaml does",
        )
    if settings.strange:
        return warning(
            _CHECK,
            f"{file}: no node takes {', '.join(settings.strange)}",
            "correct the name; docs/parameters.md has all of them",
        )
    return ok(_CHECK, str(file))


def _entries(file: Path) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Node, its parameters, and whether they are for all nodes."""
    try:
        for key, entry in read_nodes(file).items():
            parameters = entry["ros__parameters"] if isinstance(entry, dict) else None
            if not isinstance(parameters, dict):
                raise SettingsError(f"params_file {file}: {key} has no map in ros__parameters")
            yield str(key).removeprefix("/"), parameters, str(key) in (_ANY_NODE, "**", "/*", "*")
    except KeyError:
        raise SettingsError(
            f"params_file {file}: {key} has no ros__parameters: put its parameters under that name"
        ) from None


def _complaint(value: object, default: object) -> str:
    """What is wrong with a value's type, in words; ''."""
    if isinstance(value, list) and isinstance(default, list):
        kind = type(default[0])
        if value and all(type(entry) is kind for entry in value):
            return ""
        return f"not a list of {'texts' if kind is str else 'decimals'}"
    if type(value) is type(default):
        return ""
    return f"not like {default!r}"
