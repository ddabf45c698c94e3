"""The stock tools that a launch argument starts beside the nodes: which programs, with which of the
package's configurations, and what is said where one is not installed.

Imports no ROS but its index of packages. A tool is a guest: when it ends, or is not there, all else
runs on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from vla_inference_ros.graph import share

FOXGLOVE_PORT = 8765
# What decodes the views' JPEGs for those who show them through image_transport.
_DECODER = "compressed_image_transport"
# rqt_plot drops a topic for good that does not exist when it starts, and rqt_image_view takes its
# pictures for raw ones: the nodes must have announced theirs, which takes some seconds.
_AFTER_THE_NODES = 10.0  # [s]


@dataclass(frozen=True, slots=True)
class Program:
    """One process of a tool, to be started ``delay`` seconds after the nodes."""

    package: str
    executable: str
    arguments: tuple[str, ...] = ()
    ros_arguments: tuple[str, ...] = ()  # what follows --ros-args
    delay: float = 0.0

    def command(self) -> list[str]:
        """Its command line. Raises PackageNotFoundError if it is not installed, and OSError
        outside a ROS environment.
        """
        path = Path(get_package_prefix(self.package), "lib", self.package, self.executable)
        ros = ("--ros-args", *self.ros_arguments) if self.ros_arguments else ()
        return [str(path), *self.arguments, *ros]


@dataclass(frozen=True, slots=True)
class Tool:
    """What one launch argument starts.

    Its programs' packages are needed; without its ``plugins`` it starts all the same, and shows
    less.
    """

    argument: str
    programs: tuple[Program, ...]
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be started of a tool here, and what is to be said of the rest."""

    programs: tuple[Program, ...]
    complaints: tuple[str, ...]


def tools() -> tuple[Tool, ...]:
    """All of them. Raises FileNotFoundError if the package is not installed itself."""
    return (
        Tool(
            "rviz",
            (Program("rviz2", "rviz2", ("-d", _config("rviz.rviz"))),),
            (_DECODER,),
        ),
        Tool(
            "rqt",
            (
                Program(
                    "diagnostic_aggregator",
                    "aggregator_node",
                    ros_arguments=("--params-file", _config("diagnostic_aggregator.yaml")),
                ),
                Program(
                    "rqt_gui",
                    "rqt_gui",
                    # Plugins that were installed since rqt last looked, a day ago at most, count.
                    ("--force-discover", "--perspective-file", _config("rqt.perspective")),
                    delay=_AFTER_THE_NODES,
                ),
            ),
            ("rqt_image_view", "rqt_plot", "rqt_robot_monitor", _DECODER),
        ),
        Tool(
            "foxglove",
            (
                Program(
                    "foxglove_bridge",
                    "foxglove_bridge",
                    # Only watching, and only from here: it asks nobody for a password.
                    ros_arguments=(
                        *("-p", f"port:={FOXGLOVE_PORT}"),
                        *("-p", "address:=127.0.0.1"),
                        *("-p", "capabilities:=[connectionGraph]"),
                    ),
                ),
            ),
        ),
        Tool(
            "plotjuggler",
            (Program("plotjuggler", "plotjuggler", ("-n", "-l", _config("plotjuggler.xml"))),),
            ("plotjuggler_ros",),
        ),
    )


def tool(argument: str) -> Tool:
    """The one that an argument starts; KeyError if there is none."""
    return {one.argument: one for one in tools()}[argument]


def plan(tool: Tool) -> Plan:
    """What of a tool is installed. A missing program or plugin costs a line that names its package,
    as Debian and Ubuntu have it.
    """
    programs = tuple(p for p in tool.programs if _is_installed(p.package))
    complaints = [
        f"{tool.argument}:=true: {p.package} is not installed, so it is not started; all else "
        f"runs on. Install it with: {_install(p.package)}"
        for p in tool.programs
        if p not in programs
    ]
    missing = [name for name in tool.plugins if not _is_installed(name)]
    if programs and missing:
        complaints.append(
            f"{tool.argument}:=true: started without {', '.join(missing)}, so something of it "
            f"stays empty. Install with: {_install(*missing)}"
        )
    return Plan(programs, tuple(complaints))


def _is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except (PackageNotFoundError, OSError):  # OSError: no ROS environment has been set up
        return False
    return True


def _install(*packages: str) -> str:
    distribution = os.environ.get("ROS_DISTRO") or "$ROS_DISTRO"
    names = (f"ros-{distribution}-{package.replace('_', '-')}" for package in packages)
    return f"sudo apt install {' '.join(names)}"


def _config(name: str) -> str:
    return str(share() / "config" / name)
