"""A demonstration without rig and GPU: async with the tiny model and simulated senders."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from vla_inference_ros import graph


def generate_launch_description() -> LaunchDescription:
    preset = graph.LAUNCH_FILES[Path(__file__).name]
    descriptions = {argument.name: argument.description for argument in graph.ARGUMENTS}
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=value, description=descriptions[name])
                for name, value in preset.items()
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(Path(__file__).with_name("async.launch.py"))),
                launch_arguments={name: LaunchConfiguration(name) for name in preset}.items(),
            ),
        ]
    )
