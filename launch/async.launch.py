"""The whole inference: bridges, VLM, action expert and monitor; with sim:=true senders as well."""

from pathlib import Path

from launch import LaunchDescription

from vla_inference_ros.ros_launch import description


def generate_launch_description() -> LaunchDescription:
    return description(Path(__file__).name)
