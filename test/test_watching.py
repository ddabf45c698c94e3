"""What the launch arguments of the stock tools start, and what they say where one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_inference_ros import watching
from vla_inference_ros.watching import Program, plan, tool, tools

PACKAGES = {p.package for tool in tools() for p in tool.programs} | {
    name for tool in tools() for name in tool.plugins
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty prefix, the only one."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    (tmp_path / "share/ament_index/resource_index/packages").mkdir(parents=True)
    return tmp_path


def install(prefix: Path, *packages: str) -> None:
    for package in packages:
        (prefix / "share/ament_index/resource_index/packages" / package).touch()


def test_every_tool_has_an_argument_of_its_own() -> None:
    arguments = [one.argument for one in tools()]
    assert arguments == ["rviz", "rqt", "foxglove", "plotjuggler"]
    assert [tool(argument) for argument in arguments] == list(tools())
    with pytest.raises(KeyError):
        tool("gazebo")


@pytest.mark.parametrize("argument", ["rviz", "rqt", "foxglove", "plotjuggler"])
def test_what_is_installed_is_started_without_a_word(argument: str, installed: Path) -> None:
    install(installed, *PACKAGES)
    found = plan(tool(argument))
    assert found.programs == tool(argument).programs
    assert found.complaints == ()


@pytest.mark.parametrize("argument", ["rviz", "rqt", "foxglove", "plotjuggler"])
def test_what_is_missing_is_named_with_its_debian_package(argument: str, installed: Path) -> None:
    found = plan(tool(argument))
    assert found.programs == ()
    packages = [p.package for p in tool(argument).programs]
    assert list(found.complaints) == [
        f"{argument}:=true: {package} is not installed, so it is not started; all else runs on. "
        f"Install it with: sudo apt install ros-jazzy-{package.replace('_', '-')}"
        for package in packages
    ]


def test_without_its_plugins_a_tool_starts_and_says_what_it_lacks(installed: Path) -> None:
    install(installed, "rqt_gui", "diagnostic_aggregator", "rqt_plot")
    found = plan(tool("rqt"))
    assert found.programs == tool("rqt").programs
    assert found.complaints == (
        "rqt:=true: started without rqt_image_view, rqt_robot_monitor, compressed_image_transport, "
        "so something of it stays empty. Install with: sudo apt install ros-jazzy-rqt-image-view "
        "ros-jazzy-rqt-robot-monitor ros-jazzy-compressed-image-transport",
    )


def test_one_program_of_two_is_started_alone(installed: Path) -> None:
    install(installed, *PACKAGES - {"diagnostic_aggregator"})
    found = plan(tool("rqt"))
    assert [p.package for p in found.programs] == ["rqt_gui"]
    (complaint,) = found.complaints
    assert "ros-jazzy-diagnostic-aggregator" in complaint


def test_outside_a_ros_environment_the_distribution_is_left_to_the_shell(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROS_DISTRO")
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    (complaint,) = plan(tool("rviz")).complaints
    assert complaint.endswith("sudo apt install ros-$ROS_DISTRO-rviz2")


def test_the_command_line_is_that_of_ros2_run(installed: Path) -> None:
    install(installed, *PACKAGES)
    program = Program("tool", "b", ("-x",), ("-p", "n:=1"))
    install(installed, "tool")
    assert program.command() == [f"{installed}/lib/tool/b", "-x", "--ros-args", "-p", "n:=1"]
    assert Program("tool", "b", ("-x",)).command() == [f"{installed}/lib/tool/b", "-x"]
    for one in tools():
        for started in one.programs:
            path = f"{installed}/lib/{started.package}/{started.executable}"
            assert started.command()[0] == path


def test_the_configurations_that_they_are_given_exist() -> None:
    given = [
        word
        for one in tools()
        for program in one.programs
        for word in (*program.arguments, *program.ros_arguments)
        if "/" in word
    ]
    assert {Path(word).name for word in given} == {
        *("rviz.rviz", "rqt.perspective", "plotjuggler.xml", "diagnostic_aggregator.yaml"),
    }
    for word in given:
        assert Path(word).is_file()


def test_foxglove_may_only_watch_and_only_from_here() -> None:
    (bridge,) = tool("foxglove").programs
    assert "address:=127.0.0.1" in bridge.ros_arguments
    assert "capabilities:=[connectionGraph]" in bridge.ros_arguments
    assert f"port:={watching.FOXGLOVE_PORT}" in bridge.ros_arguments


def test_rqt_comes_when_the_nodes_have_announced_their_topics() -> None:
    delays = {p.package: p.delay for p in tool("rqt").programs}
    assert delays["rqt_gui"] >= 5.0
    assert delays["diagnostic_aggregator"] == 0.0
