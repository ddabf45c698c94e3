"""The whole inference: bridges, VLM, action expert and monitor; with sim:=true senders as well."""

import signal
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from vla_inference_ros import graph

NAMES = {argument.name for argument in graph.ARGUMENTS}


def generate_launch_description() -> LaunchDescription:
    given: dict[str, str] = {}

    def note_given(context: LaunchContext) -> None:
        """Before the defaults are declared, only what the user gave is configured."""
        given.update({k: v for k, v in context.launch_configurations.items() if k in NAMES})

    def start(_: LaunchContext) -> list[LaunchDescriptionEntity]:
        built = graph.build(given)
        return [_node(node, built.params_file, built.respawn) for node in built.nodes]

    return LaunchDescription(
        [
            OpaqueFunction(function=note_given),
            *(
                DeclareLaunchArgument(a.name, default_value=a.default, description=a.description)
                for a in graph.ARGUMENTS
            ),
            OpaqueFunction(function=start),
        ]
    )


def _node(node: graph.NodeSpec, params_file: Path, respawn: bool) -> Node:
    # Typed: untyped text is read as YAML, where an instruction "yes" is a truth value.
    # With a duration the monitor's end is the end of the run: launch would restart it.
    respawn = respawn and "duration" not in node.parameters
    overrides = {k: ParameterValue(v, value_type=type(v)) for k, v in node.parameters.items()}
    return Node(
        package=graph.PACKAGE,
        executable=node.name,
        parameters=[str(params_file), overrides],
        output="screen",
        respawn=respawn,
        respawn_delay=graph.RESPAWN_DELAY,
        on_exit=None if respawn else _end_all,
    )


def _end_all(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Nothing runs on without a node; one that died makes the exit status 1.

    An exception is the only way to that status: after Shutdown alone ``ros2 launch`` returns 0.
    """
    stopping = context.is_shutdown
    # A node that has not finished starting ends by Ctrl+C's signal itself, which is as good.
    if event.returncode != 0 and not (stopping and event.returncode == -signal.SIGINT):
        raise RuntimeError(f"{event.process_name} died with exit code {event.returncode}")
    return [] if stopping else [Shutdown(reason=f"{event.process_name} has ended")]
