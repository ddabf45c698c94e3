from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificate
from harness import TIMEOUT, free_port
from ipv6 import HOSTS
from recorded import OFFSET, START, STEP, datagram, frame, packet
from wire_receivers import receiving

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.resend.command import main

COUNT = 16
STREAMS = ("camera", "robot", "sensor")


def recorded(parent: Path, streams: tuple[str, ...] = STREAMS, step: float = STEP) -> Path:
    """A run folder with packets ``step`` [s] apart; they were received half a second late."""
    writer = RunWriter(parent, START)
    for number in range(COUNT):
        received = START + OFFSET + 0.5 + number * step
        if "camera" in streams:
            writer.add_frame(Received(frame(number), OFFSET, received, "View1"))
        if "robot" in streams:
            writer.add_state(Received(packet(number), OFFSET, received))
        if "sensor" in streams:
            writer.add_samples(Received(datagram(number), OFFSET, received))
    writer.close()
    return writer.folder


def parts(packet_of: Any) -> list[Any]:
    return [packet_of(number).pack() for number in range(COUNT)]


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that it ends with, when it must fail."""
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("vla-resend: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("rate", ["0", "16"])
def test_the_bytes_that_were_sent_are_sent_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rate: str
) -> None:
    folder = recorded(tmp_path)
    with receiving() as got:
        began = time.monotonic()
        assert main([str(folder), "--rate", rate, *got.arguments]) == 0
        took = time.monotonic() - began
    assert got.frames == parts(frame)
    assert got.packets == parts(packet)
    assert got.datagrams == parts(datagram)
    if rate == "16":  # never sooner than they are due
        assert took >= (COUNT - 1) * STEP / 16
    output = capsys.readouterr()
    assert output.err == ""
    for line in (f"camera: {COUNT} frames", f"robot: {COUNT} packets", f"sensor: {COUNT} datag"):
        assert line in output.out
    assert ("ms late" in output.out) == (rate != "0")


@pytest.mark.parametrize("host", HOSTS)
def test_it_sends_to_hosts_of_ipv6(host: str, tmp_path: Path) -> None:
    with receiving(host) as got:
        assert main([str(recorded(tmp_path)), "--rate", "0", *got.arguments]) == 0
    assert got.frames == parts(frame)
    assert got.packets == parts(packet)
    assert got.datagrams == parts(datagram)


def test_only_the_streams_that_are_asked_for_are_sent(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    with receiving() as got:
        assert main([str(folder), "--rate", "0", "--streams", "sensor", *got.arguments]) == 0
    assert got.frames == got.packets == []
    assert got.datagrams == parts(datagram)


def test_a_stream_that_was_not_recorded_needs_no_receiver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path, ("camera",))
    with receiving() as got:
        nobody = ["--robot", f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}"]
        assert main([str(folder), "--rate", "0", *got.arguments, *nobody]) == 0
    assert got.frames == parts(frame)
    error = capsys.readouterr().err
    assert "no robot packets were recorded" in error
    assert "no sensor datagrams were recorded" in error


def test_restamped_packets_are_of_now_and_as_old_as_they_were(tmp_path: Path) -> None:
    """All were received half a second after they had been taken."""
    folder = recorded(tmp_path)
    with receiving() as got:
        before = time.time()
        assert main([str(folder), "--rate", "16", "--restamp", *got.arguments]) == 0
        after = time.time()
    frames = [CameraFrame.unpack(each, 64) for each in got.frames]
    robot = [RobotPacket.unpack(each) for each in got.packets]
    sensor = [SensorDatagram.unpack(each) for each in got.datagrams]
    assert len(frames) == len(robot) == len(sensor) == COUNT
    first = frames[0].timestamp
    assert before <= first + 0.5 <= after
    for number in range(COUNT):
        expected = pytest.approx(first + number * STEP / 16, abs=1e-3)
        assert frames[number].timestamp == expected
        assert robot[number].origin_time == expected
        assert frames[number].jpeg == frame(number).jpeg
        assert robot[number].joints == packet(number).joints
        assert sensor[number].times[-1] - 2 / 64 == expected  # its first one, before they moved


def test_without_receivers_it_says_who_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path)
    camera, robot = (free_port(socket.SOCK_STREAM) for _ in range(2))
    sensor = free_port(socket.SOCK_DGRAM)
    addresses = ("--camera", f"tcp://127.0.0.1:{camera}", "--robot", f"tcp://127.0.0.1:{robot}")
    began = time.monotonic()
    error = failure(
        capsys, str(folder), *addresses, "--sensor", f"127.0.0.1:{sensor}", "--wait", "0.2"
    )
    assert 0.2 <= time.monotonic() - began < TIMEOUT
    assert f"nobody listens for the cameras at tcp://127.0.0.1:{camera}" in error
    assert f"nobody subscribes to robot packets on tcp://127.0.0.1:{robot}" in error
    assert f"nobody listens for the sensor at UDP 127.0.0.1:{sensor}" in error
    assert "start the bridges first" in error


def test_what_is_odd_is_left_out_and_told_in_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path)
    sorted((folder / "View1").iterdir())[9].write_bytes(b"")
    with receiving() as got:
        assert main([str(folder), "--rate", "0", *got.arguments]) == 0
    output = capsys.readouterr()
    assert "camera: 9 frames" not in output.out
    assert output.err.startswith("vla-resend: left out, since it is odd: 1 of pictures, bad JPEG: ")
    assert output.err.count("\n") == 1


def test_what_is_odd_is_told_after_what_was_sent_if_all_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path)
    sorted((folder / "View1").iterdir())[9].write_bytes(b"")
    with receiving() as got:
        assert main([str(folder), "--strict", "--rate", "0", *got.arguments]) == 1
    output = capsys.readouterr()
    assert "camera: 9 frames" in output.out
    assert output.err.startswith("vla-resend: ")
    assert output.err.endswith(".jpg: the JPEG is empty\n")
    assert output.err.count("\n") == 1


def test_recordings_that_are_none_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "does not exist" in failure(capsys, str(tmp_path / "nothing"))
    assert "neither a bag" in failure(capsys, str(tmp_path))
    writer = RunWriter(tmp_path, START)
    writer.close()
    error = failure(capsys, str(writer.folder), "--streams", "camera,sensor")
    assert "holds no camera, sensor packets to send" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: RECORDING"),
        (["x", "--rate", "-1"], "'-1' is no number from 0"),
        (["x", "--rate", "nan"], "'nan' is no number from 0"),
        (["x", "--rate", "fast"], "'fast' is no number from 0"),
        (["x", "--rate", "1e-9"], "1e-9 is neither 0 nor a rate from 0.001"),
        (["x", "--wait", "inf"], "'inf' is no number from 0"),
        (["x", "--streams", "camera,oct"], "'camera,oct' is not a list of camera, robot, sensor"),
        (["x", "--streams", ""], "'' is not a list of camera, robot, sensor"),
        (["x", "--camera", "127.0.0.1:5555"], "'127.0.0.1:5555' is not of the form tcp://HOST"),
        (["x", "--camera", "tcp://host"], "'tcp://host' is not of the form tcp://HOST:PORT"),
        (["x", "--robot", "tcp://*:99999"], "'tcp://*:99999' is not of the form tcp://HOST:PORT"),
        (["x", "--sensor", "9999"], "'9999' is not of the form HOST:PORT"),
        (["x", "--sensor", "::1:9999"], "'::1:9999' is not of the form HOST:PORT"),
        (
            ["x", "--camera", "tcp://::1:5555"],
            "'tcp://::1:5555' is not of the form tcp://HOST:PORT",
        ),
        (["x", "--sensor", "host:0"], "'host:0' is not of the form HOST:PORT"),
        (["x", "--sensor", "host:٣"], "'host:٣' is not of the form HOST:PORT"),
        (["x", "--curve-camera", "y"], "--curve-camera and --curve-bridge go together"),
        (["x", "--curve-clients", "y"], "--curve-clients needs --curve-robot"),
    ],
)
def test_a_wrong_command_line_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_keys_that_cannot_be_used_are_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    server: Certificate,
    client: Certificate,
) -> None:
    folder = str(recorded(tmp_path))
    camera = ("--curve-camera", str(client.public), "--curve-bridge", str(server.public))
    assert "holds no secret key" in failure(capsys, folder, *camera)
    camera = ("--curve-camera", str(client.secret), "--curve-bridge", str(server.secret))
    assert "holds a secret key" in failure(capsys, folder, *camera)
    robot = ["--streams", "robot", "--curve-robot", str(server.secret), "--curve-clients"]
    assert "none is no folder" in failure(capsys, folder, *robot, str(tmp_path / "none"))


def test_it_can_be_interrupted(tmp_path: Path) -> None:
    folder = recorded(tmp_path, step=3600.0)
    with receiving() as got:
        command = [sys.executable, "-m", "vla_inference_ros.resend.command", str(folder)]
        process = subprocess.Popen(
            [*command, *got.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            cwd=tmp_path,
        )
        try:
            deadline = time.monotonic() + TIMEOUT
            while not (got.frames and got.packets and got.datagrams):
                assert time.monotonic() < deadline
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            output, error = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130
    assert error == "vla-resend: stopped\n"
    assert "camera: 1 frames" in output
