"""A demonstration without rig and GPU: async with the tiny model and simulated senders."""

from pathlib import Path

from launch import LaunchDescription

from vla_inference_ros.ros_launch import description


def generate_launch_description() -> LaunchDescription:
    return description(Path(__file__).name)
