"""The inference without bridges, on the inputs of a recording: bag:=PATH, by simulated time."""

from pathlib import Path

from launch import LaunchDescription

from vla_inference_ros.ros_launch import description


def generate_launch_description() -> LaunchDescription:
    return description(Path(__file__).name)
