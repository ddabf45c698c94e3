"""What config/ has for rviz, rqt, Foxglove and PlotJuggler fits the graph: every topic and field
that a file names is there, with the type that the tool needs.
"""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from message_fields import NUMBERS, field_type

from vla_inference_ros import graph
from vla_inference_ros.core.health import State
from vla_inference_ros.model.interface import ACTION_NAMES, VIEWS
from vla_inference_ros.msg import ActionChunk, Signals
from vla_inference_ros.nodes.robot_bridge import RobotBridgeConfig
from vla_inference_ros.recording.topics import IMAGES, TOPICS

# Topics that are made of others only to be shown, and are in no bag.
SHOWN = {
    "/vla/predicted_path": "nav_msgs/msg/Path",
    "/vla/predicted_markers": "visualization_msgs/msg/MarkerArray",
    "/vla/predicted_trajectory": "trajectory_msgs/msg/JointTrajectory",
}
ROS_OWN = {"/rosout": "rcl_interfaces/msg/Log"}
TYPES = {**ROS_OWN, **SHOWN, **TOPICS}
COMPRESSED = "sensor_msgs/msg/CompressedImage"
PLOTTED = {"/vla/signals", "/vla/status"}
ACTIONS = {f"action_{name}" for name in ACTION_NAMES}
FORCE = {"force", "force_min", "force_max", "robot_force"}
TIMES = {"action_time", "vl_time"}
AGES = {f"{name}_age" for name in ("features", "sensor", "robot", *(v.lower() for v in VIEWS))}


def text(name: str) -> str:
    return (graph.share() / "config" / name).read_text(encoding="utf-8")


def split(reference: str) -> tuple[str, str]:
    """Topic and field path of ``/topic/field`` or ``/topic.field``."""
    for topic in sorted(TYPES, key=len, reverse=True):
        if reference.startswith((f"{topic}/", f"{topic}.")):
            return topic, reference[len(topic) + 1 :].replace(".", "/")
    raise LookupError(f"{reference}: no such topic")


def assert_plottable(reference: str) -> None:
    """A number that has a name of its own, in a small topic: for what else is in an array, or
    beside megabytes of samples, there is ``/vla/signals``.
    """
    topic, path = split(reference)
    assert field_type(TYPES[topic], path) in NUMBERS, reference
    assert "[" not in path, reference
    assert topic in PLOTTED, reference


def signals_among(references: list[str]) -> set[str]:
    return {path for topic, path in map(split, references) if topic == "/vla/signals"}


def test_shown_topics_are_in_no_bag() -> None:
    assert not set(SHOWN) & set(TOPICS)


@pytest.mark.parametrize(
    "reference",
    [
        *("/vla/signals/none", "/vla/signals/header", "/vla/status/reason", "/none/force"),
        *("/vla/actions/actions[0]", "/sensor/samples/force[0]", "/robot/state/force"),
    ],
)
def test_what_is_no_number_of_its_own_is_not_plotted(reference: str) -> None:
    with pytest.raises((AssertionError, LookupError)):
        assert_plottable(reference)


# --- the resolver itself


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("inference_time", "float"),
        ("actions", "sequence<float>"),
        ("actions[0]", "float"),
        ("header/stamp/sec", "int32"),
        ("robot_state/joint_position[5]", "double"),
        ("view_stamps[1]/nanosec", "uint32"),
    ],
)
def test_a_field_is_found(path: str, expected: str) -> None:
    assert field_type(TOPICS["/vla/actions"], path) == expected


@pytest.mark.parametrize(
    "path",
    ["", "speed", "actions/x", "inference_time[0]", "robot_state/joint_position[6]", "header/sec"],
)
def test_a_field_that_is_not_there_is_an_error(path: str) -> None:
    with pytest.raises(LookupError):
        field_type(TOPICS["/vla/actions"], path)


# --- rviz


RVIZ = yaml.safe_load(text("rviz.rviz"))
RVIZ_TYPES = {
    "rviz_default_plugins/Image": COMPRESSED,
    "rviz_default_plugins/Pose": "geometry_msgs/msg/PoseStamped",
    "rviz_default_plugins/Path": "nav_msgs/msg/Path",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
}


def rviz_topics() -> dict[str, str]:
    """The display class of each topic."""
    displays = RVIZ["Visualization Manager"]["Displays"]
    return {d["Topic"]["Value"]: d["Class"] for d in displays if "Topic" in d}


def test_rviz_shows_topics_of_the_right_types() -> None:
    shown = rviz_topics()
    for topic, display in shown.items():
        assert TYPES[topic] == RVIZ_TYPES[display], topic
    assert set(shown) == {
        *IMAGES.values(),
        *("/robot/pose", "/vla/predicted_path", "/vla/predicted_markers"),
    }


def test_rviz_takes_the_transport_from_the_topics_last_name() -> None:
    for topic, display in rviz_topics().items():
        assert (display == "rviz_default_plugins/Image") == topic.endswith("/compressed")


def test_rvizs_fixed_frame_is_that_of_the_robots_pose() -> None:
    fixed = RVIZ["Visualization Manager"]["Global Options"]["Fixed Frame"]
    assert fixed == RobotBridgeConfig().base_frame


def test_rvizs_window_has_a_place_for_every_view() -> None:
    window = RVIZ["Window Geometry"]
    state = bytes.fromhex(window["QMainWindow State"])
    displays = RVIZ["Visualization Manager"]["Displays"]
    images = [d for d in displays if d["Class"] == "rviz_default_plugins/Image"]
    assert {d["Name"]: d["Topic"]["Value"] for d in images} == IMAGES  # a dock has its name
    for name in ("Displays", *VIEWS):
        assert name.encode("utf-16-be") in state
        assert window[name] == {"collapsed": False}


# --- rqt


def values(group: dict[str, Any]) -> dict[str, Any]:
    """The keys of a group of the perspective, as rqt's import reads them."""
    found = {}
    for key, value in group["keys"].items():
        if value["type"] == "repr":
            found[key] = ast.literal_eval(value["repr"])
        else:
            parsed = re.fullmatch(r"QtCore\.QByteArray\(b'([0-9a-f]+)'\)", value[value["type"]])
            assert value["type"] == "repr(QByteArray.hex)"
            assert parsed is not None
            found[key] = bytes.fromhex(parsed[1])
    return found


RQT = json.loads(text("rqt.perspective"))
RQT_PLUGINS = RQT["groups"]["pluginmanager"]["groups"]


def rqt_plugins(plugin: str) -> dict[int, dict[str, Any]]:
    """The settings of each running instance of a plugin, by serial number."""
    running = values(RQT["groups"]["pluginmanager"])["running-plugins"]
    return {
        serial: values(
            RQT_PLUGINS[f"plugin__{plugin.replace('/', '__')}__{serial}"]["groups"]["plugin"]
        )
        for serial in running[plugin]
    }


def test_rqt_runs_what_it_has_settings_for() -> None:
    running = values(RQT["groups"]["pluginmanager"])["running-plugins"]
    assert set(running) == {
        *("rqt_image_view/ImageView", "rqt_plot/Plot", "rqt_robot_monitor/RobotMonitor"),
    }
    assert {
        f"plugin__{plugin.replace('/', '__')}__{serial}"
        for plugin, serials in running.items()
        for serial in serials
    } == set(RQT_PLUGINS)


def test_rqt_shows_every_view() -> None:
    views = [settings["topic"] for settings in rqt_plugins("rqt_image_view/ImageView").values()]
    assert views == list(IMAGES.values())
    assert {TYPES[topic] for topic in views} == {COMPRESSED}


def test_rqt_plots_fields_that_exist() -> None:
    plots = rqt_plugins("rqt_plot/Plot")
    references = [reference for plot in plots.values() for reference in plot["topics"]]
    for reference in references:
        assert_plottable(reference)
    assert signals_among(references) == ACTIONS | FORCE | TIMES | AGES


def test_rqts_window_has_a_place_for_every_plugin() -> None:
    state = values(RQT["groups"]["mainwindow"])["state"]
    widgets = {
        "rqt_image_view__ImageView": "ImageViewWidget",
        "rqt_plot__Plot": "DataPlotWidget",
        "rqt_robot_monitor__RobotMonitor": "Robot Monitor",
    }
    for plugin in RQT_PLUGINS:
        instance = plugin.removeprefix("plugin__")
        widget = widgets[instance.rpartition("__")[0]]
        assert f"{instance}__{widget}".encode("utf-16-be") in state, plugin


# --- Foxglove


FOXGLOVE = json.loads(text("foxglove.json"))


def panels(kind: str) -> list[dict[str, Any]]:
    return [c for name, c in FOXGLOVE["configById"].items() if name.partition("!")[0] == kind]


def leaves(node: str | dict[str, Any]) -> Iterator[str]:
    if isinstance(node, str):
        yield node
        return
    assert set(node) == {"direction", "first", "second", "splitPercentage"}
    assert node["direction"] in ("row", "column")
    assert 0 < node["splitPercentage"] < 100
    yield from leaves(node["first"])
    yield from leaves(node["second"])


def test_foxglove_places_every_panel_once() -> None:
    assert sorted(leaves(FOXGLOVE["layout"])) == sorted(FOXGLOVE["configById"])
    kinds = {name.partition("!")[0] for name in FOXGLOVE["configById"]}
    assert kinds == {
        *("Image", "Plot", "StateTransitions", "RawMessages", "DiagnosticSummary", "RosOut", "3D"),
    }


def test_foxglove_shows_every_view() -> None:
    views = [panel["imageMode"]["imageTopic"] for panel in panels("Image")]
    assert views == list(IMAGES.values())
    assert {TYPES[topic] for topic in views} == {COMPRESSED}


def test_foxglove_plots_fields_that_exist() -> None:
    paths = [path["value"] for panel in panels("Plot") for path in panel["paths"]]
    for path in paths:
        assert_plottable(path)
    assert signals_among(paths) == ACTIONS | FORCE | TIMES | AGES


def test_foxglove_names_the_actions_as_the_chunks_do() -> None:
    found = {p["value"]: p["label"] for panel in panels("Plot") for p in panel["paths"]}
    for name in ACTION_NAMES:
        assert found[f"/vla/signals.action_{name}"] == name
        assert found[f"/vla/status.seam_jump_{name}"] == name


def test_foxglove_names_the_states_as_the_messages_do() -> None:
    (panel,) = panels("StateTransitions")
    shown = {}
    for path in panel["paths"]:
        assert_plottable(path["value"])
        states = path["customStates"]["states"]
        shown[path["value"]] = {int(state["value"]): state["label"] for state in states}
    assert shown == {
        "/vla/status.state": {int(state): state.name for state in State},
        "/vla/signals.validity": {Signals.OK: "OK", Signals.DEGRADED: "DEGRADED"},
    }


def test_the_signals_say_validity_as_the_chunks_do() -> None:
    assert (Signals.OK, Signals.DEGRADED) == (ActionChunk.OK, ActionChunk.DEGRADED)


def test_foxglove_reads_text_where_it_shows_text() -> None:
    shown = [split(panel["topicPath"]) for panel in panels("RawMessages")]
    assert {path: field_type(TYPES[topic], path) for topic, path in shown} == {
        "reason": "string",
        "troubles": "sequence<string>",
    }


def test_foxgloves_other_panels_have_topics_of_their_types() -> None:
    (diagnostics,), (log,), (scene,) = panels("DiagnosticSummary"), panels("RosOut"), panels("3D")
    assert TYPES[diagnostics["topicToRender"]] == "diagnostic_msgs/msg/DiagnosticArray"
    assert TYPES[log["topicToRender"]] == "rcl_interfaces/msg/Log"
    assert {TYPES[topic] for topic in scene["topics"]} == {
        *("geometry_msgs/msg/PoseStamped", "nav_msgs/msg/Path"),
        "visualization_msgs/msg/MarkerArray",
    }
    assert scene["followTf"] == RobotBridgeConfig().base_frame


# --- PlotJuggler


PLOTJUGGLER = ElementTree.fromstring(text("plotjuggler.xml"))


def test_plotjuggler_plots_fields_that_exist() -> None:
    curves = [curve.attrib["name"] for curve in PLOTJUGGLER.iter("curve")]
    for curve in curves:
        assert_plottable(curve)
    assert signals_among(curves) >= ACTIONS | FORCE | TIMES | AGES
    (selected,) = PLOTJUGGLER.iter("selected_topics")
    assert selected.attrib["value"].split(";") == sorted({split(curve)[0] for curve in curves})


def test_plotjuggler_has_a_plot_for_every_place() -> None:
    splitters = list(PLOTJUGGLER.iter("DockSplitter"))
    assert len(splitters) == len(list(PLOTJUGGLER.iter("Tab")))
    for splitter in splitters:
        count = int(splitter.attrib["count"])
        assert len(splitter) == len(splitter.attrib["sizes"].split(";")) == count
        assert all(len(area.findall("plot")) == 1 for area in splitter)
