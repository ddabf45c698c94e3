"""What nodes say at each verbosity, on their console and on /rosout."""

from __future__ import annotations

import json
import re
import socket
import sys
from array import array
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import rclpy
from harness import LATCHED, Listener, NodeProcess, Parameter, free_port, running
from launching import Launch
from rcl_interfaces.msg import Log
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import parameter_value_to_python

from vla_inference_ros import graph
from vla_inference_ros.convert import header, time_message
from vla_inference_ros.msg import ActionChunk, StreamReport, VLFeatures
from vla_inference_ros.nodes.console import is_console_line
from vla_inference_ros.nodes.watched_topics import WatchedTopics
from vla_inference_ros.web.board import Board

CONSOLE_LINES = re.compile(
    r"🔄 \[VL Update #\d+\] |\[ACTION #\d+\] |\[WAIT\] |--- Status \(|VL Updates: |Actions: |"
    r"Images recv: |Sensor buffer: |Robot: "
)
LEVELS = re.compile(r"\[(DEBUG|INFO|WARN|ERROR|FATAL)\]")


def chunk(chunk_id: int, *, reasons: tuple[str, ...] = ()) -> ActionChunk:
    return ActionChunk(
        header=header(1.7e9 + chunk_id / 10),
        chunk_id=chunk_id,
        step_dt=0.1,
        horizon=1,
        action_dim=7,
        actions=array("f", [0.5, 0.25, 0.125, 0.0, 0.0, 0.0, 1.0]),
        inference_time=0.025,
        vl_reuse_index=1,
        vl_reuse_limit=4,
        sensor_samples=65,
        sensor_window=65,
        validity=ActionChunk.DEGRADED if reasons else ActionChunk.OK,
        reasons=list(reasons),
    )


def monitor(**parameters: Parameter) -> AbstractContextManager[NodeProcess]:
    """One that takes chunks of nodes that do not report, too."""
    return running("monitor", allow_several_publishers=True, **parameters)


def action_line(chunk_id: int, more: str = "") -> str:
    return (
        f"[ACTION #{chunk_id}] VL_reuse=1/4 | Actions[0]: [0.500, 0.250, 0.125, ...] | "
        f"Time: 25.0ms | Sensor: 65/65{more}"
    )


def update(update_id: int) -> VLFeatures:
    return VLFeatures(
        header=header(1.7e9),
        update_id=update_id,
        started=time_message(1.7e9),
        finished=time_message(1.7e9 + 0.375),
    )


def bad_report() -> StreamReport:
    """One that the monitor warns of."""
    return StreamReport(node="vlm", stream="vlm", problem_kinds=["one", "two"])


def good_report() -> StreamReport:
    return StreamReport(header=header(1.7e9), node="vlm", stream="View1", accepted=7)


def set_verbosity(listener: Listener, node: str, verbosity: str) -> None:
    parameter = ParameterMessage(name="verbosity")
    parameter.value.type, parameter.value.string_value = 4, verbosity
    request = SetParameters.Request(parameters=[parameter])
    (result,) = listener.call(SetParameters, f"/{node}/set_parameters", request).results
    assert result.successful, result.reason


def of_the_middleware(line: str) -> bool:
    return "RTPS" in line


def lines_of(node: NodeProcess) -> list[str]:
    return [line for line in node.lines if not of_the_middleware(line)]


def test_quiet_says_warnings_and_nothing_else(listener: Listener) -> None:
    listener.wait_until_alone()
    records = listener.listen(Log, "/rosout", LATCHED)
    with monitor(verbosity="quiet", status_period=0.1) as node:
        for number in range(1, 6):
            listener.deliver(chunk(number), "/vla/actions")
        listener.deliver(update(1), "/vla/features")
        listener.deliver(bad_report(), "/vla/reports")
        node.wait_until_said("[WARN]")
        listener.spin_until(lambda: any("a report of 'vlm'" in record.msg for record in records))
    (line,) = lines_of(node)
    assert "a report of 'vlm' names 2 kinds of problems" in line
    assert {record.level for record in records if record.name == "monitor"} == {30}


def test_normal_says_the_lines_and_rosout_carries_each_once(listener: Listener) -> None:
    listener.wait_until_alone()
    records = listener.listen(Log, "/rosout", LATCHED)
    with monitor(status_period=3600.0) as node:
        listener.deliver(chunk(1), "/vla/actions")
        node.wait_until_said("[ACTION #1]")
        listener.deliver(update(7), "/vla/features")
        node.wait_until_said("[VL Update #7]")
        listener.deliver(good_report(), "/vla/reports")
        listener.deliver(chunk(2, reasons=("VLM late",)), "/vla/actions")
        node.wait_until_said("[ACTION #2]")
        listener.spin_until(lambda: len([r for r in records if is_console_line(r)]) == 3)
    lines = [
        action_line(1),
        "🔄 [VL Update #7] Completed in 375ms",
        action_line(2, " | DEGRADED: VLM late"),
    ]
    assert lines_of(node) == lines  # without any prefix, and nothing besides
    found = [record for record in records if is_console_line(record)]
    assert [record.msg for record in found] == lines
    assert {(record.name, record.level) for record in found} == {("monitor", 20)}
    stamps = [record.stamp.sec + record.stamp.nanosec * 1e-9 for record in found]
    assert stamps == sorted(stamps)


def test_a_status_block_is_one_record(listener: Listener) -> None:
    listener.wait_until_alone()
    records = listener.listen(Log, "/rosout", LATCHED)
    with running("monitor", status_period=0.2):
        listener.spin_until(lambda: any(is_console_line(record) for record in records))
    block = next(record.msg for record in records if is_console_line(record)).splitlines()
    assert block[0].startswith("--- Status (")
    assert block[5] == "Robot: no packet yet"


def test_the_wait_line_is_a_record_too(listener: Listener) -> None:
    listener.wait_until_alone()
    records = listener.listen(Log, "/rosout", LATCHED)
    with running("action_expert", model="stub") as node:
        listener.spin_until(lambda: any(is_console_line(record) for record in records))
        node.wait_until_said("[WAIT]")
    record = next(record for record in records if is_console_line(record))
    assert (record.name, record.msg) == ("action_expert", node.said("[WAIT]")[0])
    assert record.msg == "[WAIT] VL Features: False | Images: False (0/5) | Sensor: False (0/65)"


def test_debug_adds_records_and_all_may_be_set_while_it_runs(listener: Listener) -> None:
    listener.wait_until_alone()
    with monitor(verbosity="debug", status_period=3600.0) as node:
        listener.deliver(good_report(), "/vla/reports")
        node.wait_until_said("report of vlm: View1: 7 accepted")
        listener.deliver(chunk(1), "/vla/actions")
        node.wait_until_said("[ACTION #1]")
        set_verbosity(listener, "monitor", "quiet")
        listener.deliver(good_report(), "/vla/reports")
        listener.deliver(chunk(2), "/vla/actions")
        listener.deliver(bad_report(), "/vla/reports")
        node.wait_until_said("names 2 kinds of problems")
        set_verbosity(listener, "monitor", "normal")
        listener.deliver(good_report(), "/vla/reports")
        listener.deliver(chunk(3), "/vla/actions")
        node.wait_until_said("[ACTION #3]")
    assert len(node.said("report of vlm")) == 1
    assert node.said("[ACTION") == [action_line(1), action_line(3)]


def test_with_a_period_chunks_are_left_out_and_counted_but_not_a_change(listener: Listener) -> None:
    listener.wait_until_alone()
    with monitor(action_line_period=3600.0, status_period=3600.0) as node:
        for number in range(1, 6):
            listener.deliver(chunk(number), "/vla/actions")
        listener.deliver(chunk(6, reasons=("VLM late",)), "/vla/actions")
        listener.deliver(chunk(7, reasons=("VLM late",)), "/vla/actions")
        listener.deliver(chunk(8), "/vla/actions")
        node.wait_until_said("[ACTION #8]")
    assert lines_of(node) == [
        action_line(1),
        action_line(6, " | Not shown: 4 | DEGRADED: VLM late"),
        action_line(8, " | Not shown: 1"),
    ]


def test_the_live_views_log_is_without_console_lines(listener: Listener) -> None:
    listener.wait_until_alone()
    records = listener.listen(Log, "/rosout", LATCHED)
    board = Board(status_timeout=3.0)
    node = rclpy.create_node("watcher")
    topics = WatchedTopics(node, board, {})

    def log() -> list[str]:
        topics.look(0.0)
        return [line["text"] for line in json.loads(board.news(0.0, 0)[0])["log"]]

    def warn() -> None:
        listener.deliver(bad_report(), "/vla/reports")

    with running("monitor", status_period=0.1):
        listener.spin_until(lambda: sum(map(is_console_line, records)) > 10)
        listener.spin_until(lambda: any("a report of 'vlm'" in text for text in log()), warn)
    assert not any(CONSOLE_LINES.match(text) for text in log())
    node.destroy_node()


# --- the launch argument


def parameter_of(listener: Listener, node: str, name: str) -> object:
    request = GetParameters.Request(names=[name])
    (value,) = listener.call(GetParameters, f"/{node}/get_parameters", request).values
    return parameter_value_to_python(value)


@pytest.mark.parametrize("verbosity", ["quiet", "debug"])
def test_the_launch_argument_is_for_every_node(
    listener: Listener, tmp_path: Path, verbosity: str
) -> None:
    parameters = tmp_path / "small.yaml"
    parameters.write_text(
        "sim_camera: {ros__parameters: {width: 160, height: 90, jpeg_bytes: 0}}\n", encoding="utf-8"
    )
    chunks = listener.listen(ActionChunk, "/vla/actions")
    launch = Launch(
        [
            str(Path(sys.executable).with_name("vla-launch")),
            "async.launch.py",
            "model:=stub",
            "sim:=true",
            "save_data:=true",
            f"output_dir:={tmp_path}",
            f"params_file:={parameters}",
            f"camera_port:={free_port(socket.SOCK_STREAM)}",
            f"robot_port:={free_port(socket.SOCK_STREAM)}",
            f"sensor_port:={free_port(socket.SOCK_DGRAM)}",
            f"verbosity:={verbosity}",
        ]
    )
    try:
        listener.spin_until(lambda: len(chunks) > 10)
        nodes = [*graph.NODES, *graph.SIM_NODES, "recorder"]
        assert {parameter_of(listener, node, "verbosity") for node in nodes} == {verbosity}
        if verbosity == "debug":
            launch.wait_for(
                r"\[vlm\]: update \d+: pictures View1 ",
                r"\[action_expert\]: chunk \d+: VLM update \d+ ",
                r"\[camera_bridge\]: View5: a frame of \d+ bytes from camera 'oak_CAM_A', ",
                r"\[robot_bridge\]: robot: a packet, .*; clock calibrate: offset ",
                r"\[sensor_bridge\]: sensor: 15 samples from 127\.0\.0\.1, ",
                r"\[monitor\]: report of sensor_bridge: sensor: ",
            )
    finally:
        launch.process.terminate()
        launch.process.wait()
        launch.clean_up()
    said = [line.partition("] ")[2] for line in launch.lines if not line.startswith("[vla-launch]")]
    levels = {match[1] for line in said if (match := LEVELS.search(line))}
    spoken = any(CONSOLE_LINES.match(line) for line in said)
    if verbosity == "quiet":
        assert not spoken
        assert levels <= {"WARN", "ERROR"}
    else:
        assert spoken
        assert levels >= {"DEBUG", "INFO"}
