"""Which nodes the launch files start, and with which parameters."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from configs import config_type

from vla_inference_ros import graph, launch_arguments
from vla_inference_ros.graph import (
    FAULT_PORTS,
    NODES,
    REPLAYED_NODES,
    SIM_NODES,
    build,
    build_replay,
)
from vla_inference_ros.launch_arguments import FAULT_NODE


def parameters(built: graph.Graph) -> dict[str, dict[str, launch_arguments.Value]]:
    """What is overridden, by node; nothing for the others."""
    return {node.name: node.parameters for node in built.nodes if node.parameters}


@pytest.mark.parametrize("file", graph.LAUNCH_FILES)
def test_launch_files_are_installed_and_set_known_arguments(file: str) -> None:
    assert (graph.share() / "launch" / file).is_file()
    launch_file = graph.LAUNCH_FILES[file]
    names = {argument.name for argument in launch_file.arguments}
    assert set(launch_file.preset) <= names
    for argument in launch_file.arguments:
        preset = launch_file.preset.get(argument.name, argument.default)
        assert launch_file.default(argument) == preset


def test_a_launch_file_presets_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLA_RUN_ID", "one")
    demo = graph.LAUNCH_FILES["demo.launch.py"]
    assert demo.graph({}) == build({"model": "tiny", "sim": "true"})
    assert demo.graph({"model": "stub"}) == build({"model": "stub", "sim": "true"})


def test_every_launch_file_that_is_there_is_known() -> None:
    files = (Path(__file__).parents[1] / "launch").glob("*.launch.py")
    assert {file.name for file in files} == set(graph.LAUNCH_FILES)


def test_every_node_is_an_installed_executable() -> None:
    for node in graph.ALL_NODES:
        assert (graph.prefix() / "lib" / graph.PACKAGE / node).is_file()


def test_without_arguments_the_parameters_file_holds_everything() -> None:
    built = build({})
    assert tuple(node.name for node in built.nodes) == NODES
    assert parameters(built) == {}
    assert built.params_file == graph.share() / "config" / "async.yaml"
    assert built.params_file.is_file()
    assert not built.respawn


def test_given_arguments_override_their_targets_only() -> None:
    built = build({"vl_reuse": "8", "camera_port": "6000", "instruction": "yes", "duration": "2"})
    assert parameters(built) == {
        "vlm": {"vl_reuse": 8, "instruction": "yes"},
        "action_expert": {"vl_reuse": 8},
        "camera_bridge": {"port": 6000},
        "monitor": {"duration": 2.0},
    }
    assert isinstance(built.nodes[-1].parameters["duration"], float)  # ROS tells 2 from 2.0


def test_an_argument_given_its_default_still_overrides_the_file() -> None:
    assert parameters(build({"robot_host": "127.0.0.1"})) == {"robot_bridge": {"host": "127.0.0.1"}}
    assert parameters(build({"sensor_port": "9999"})) == {"sensor_bridge": {"port": 9999}}


def test_sim_adds_senders_that_use_the_bridges_ports() -> None:
    ports = {"camera_port": "6001", "robot_port": "6002", "sensor_port": "6003"}
    built = build({"sim": "True", **ports})
    assert tuple(node.name for node in built.nodes) == NODES + SIM_NODES
    assert parameters(built) == {
        "camera_bridge": {"port": 6001},
        "sim_camera": {"port": 6001},
        "robot_bridge": {"port": 6002},
        "sim_robot": {"port": 6002},
        "sensor_bridge": {"port": 6003},
        "sim_sensor": {"port": 6003},
    }
    assert "sim_camera" not in parameters(build({"sim": "0", **ports}))


def test_faults_stand_between_the_simulated_senders_and_the_bridges() -> None:
    built = build({"sim": "true", "faults": "true"})
    assert sorted(node.name for node in built.nodes) == sorted([*NODES, *SIM_NODES, FAULT_NODE])
    assert parameters(built) == {node: {"port": port} for node, port in FAULT_PORTS.items()}
    injector = config_type(FAULT_NODE)()
    assert {
        "sim_camera": injector.camera_listen_port,
        "sim_robot": injector.robot_source_port,
        "sim_sensor": injector.sensor_listen_port,
    } == FAULT_PORTS


def test_the_fault_injector_follows_the_bridges_ports() -> None:
    ports = {"camera_port": "6001", "robot_port": "6002", "sensor_port": "6003"}
    assert parameters(build({"sim": "true", "faults": "true", **ports})) == {
        "camera_bridge": {"port": 6001},
        "robot_bridge": {"port": 6002},
        "sensor_bridge": {"port": 6003},
        FAULT_NODE: {"camera_port": 6001, "robot_port": 6002, "sensor_port": 6003},
        **{node: {"port": port} for node, port in FAULT_PORTS.items()},
    }


@pytest.mark.parametrize("file", graph.LAUNCH_FILES)
def test_the_verbosity_is_that_of_every_node_that_runs(file: str, tmp_path: Path) -> None:
    launch_file = graph.LAUNCH_FILES[file]
    known = {argument.name for argument in launch_file.arguments}
    optional = {"sim", "faults", "save_data", "record", "web", "foxglove"}
    given = dict.fromkeys(optional & known, "true")
    given |= {"bag": str(tmp_path)} if "bag" in known else {}
    nodes = launch_file.graph({**given, "verbosity": "debug"}).nodes
    assert [node.parameters["verbosity"] for node in nodes] == ["debug"] * len(nodes)
    assert not any("verbosity" in node.parameters for node in launch_file.graph(given).nodes)
    bridges = set(NODES) - set(REPLAYED_NODES)
    others = {*bridges, *SIM_NODES, FAULT_NODE} if "bag" in known else {"bag_player"}
    assert {node.name for node in nodes} == set(graph.ALL_NODES) - others


def test_the_size_of_messages_is_told_to_all_processes(tmp_path: Path) -> None:
    assert build({"message_bytes": "1400"}).environment["VLA_MESSAGE_BYTES"] == "1400"
    assert "VLA_MESSAGE_BYTES" not in build({}).environment
    given = {"bag": str(tmp_path), "message_bytes": "65500"}
    assert graph.build_replay(given).environment["VLA_MESSAGE_BYTES"] == "65500"


def test_each_launch_is_a_run_unless_it_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLA_RUN_ID", raising=False)
    assert build({}).environment["VLA_RUN_ID"] != build({}).environment["VLA_RUN_ID"]
    monkeypatch.setenv("VLA_RUN_ID", "of both machines")
    assert build({}).environment["VLA_RUN_ID"] == "of both machines"


def test_respawn_and_a_params_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.touch()
    built = build({"respawn": "true", "params_file": str(own), "output_dir": str(tmp_path)})
    assert (built.respawn, built.params_file) == (True, own)
    assert parameters(built) == {}


def test_save_data_adds_the_recorder(tmp_path: Path) -> None:
    built = build({"save_data": "true", "output_dir": str(tmp_path)})
    assert [node.name for node in built.nodes] == [*NODES, "recorder"]
    assert parameters(built) == {"recorder": {"output_dir": str(tmp_path)}}
    assert "recorder" not in [node.name for node in build({"output_dir": str(tmp_path)}).nodes]


def test_record_adds_the_bag_recorder(tmp_path: Path) -> None:
    built = build({"record": "true", "output_dir": str(tmp_path)})
    assert [node.name for node in built.nodes] == [*NODES, "bag_recorder"]
    assert parameters(built) == {"bag_recorder": {"output_dir": str(tmp_path)}}
    both = build({"record": "true", "save_data": "true", "output_dir": str(tmp_path)})
    assert [node.name for node in both.nodes] == [*NODES, "recorder", "bag_recorder"]
    assert set(parameters(both)) == {"recorder", "bag_recorder"}


# --- replay.launch.py


def test_a_replay_is_by_simulated_time_and_has_no_bridges(tmp_path: Path) -> None:
    built = build_replay({"bag": str(tmp_path)})
    assert [node.name for node in built.nodes] == [*REPLAYED_NODES, "bag_player"]
    assert parameters(built) == {
        **{node: {"use_sim_time": True} for node in REPLAYED_NODES},
        "bag_player": {"bag": str(tmp_path)},  # it makes the time
    }
    assert not built.respawn
    assert built.params_file == graph.share() / "config" / "async.yaml"


def test_a_replay_takes_the_arguments_of_what_it_runs(tmp_path: Path) -> None:
    given = {"bag": str(tmp_path), "rate": "2", "model": "stub", "vl_reuse": "2"}
    built = build_replay({**given, "save_data": "true", "record": "true", "output_dir": "/x"})
    names = [node.name for node in built.nodes]
    assert names == [*REPLAYED_NODES, "recorder", "bag_recorder", "bag_player"]
    found = parameters(built)
    assert found["bag_player"] == {"bag": str(tmp_path), "rate": 2.0}
    assert found["vlm"] == {"use_sim_time": True, "model": "stub", "vl_reuse": 2}
    assert found["action_expert"] == found["vlm"]
    for recorder in ("recorder", "bag_recorder"):
        assert found[recorder] == {"use_sim_time": True, "output_dir": "/x"}


def test_launching_imports_no_ros_and_no_model() -> None:
    code = (
        "import sys, json; from vla_inference_ros import graph, launcher;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"rclpy", "launch", "numpy", "torch", "zmq", "cv2"} & set(json.loads(out.stdout))
