"""A defect that makes every message fail: the bridge lives on, publishes nothing, and says so."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import rclpy
import zmq
from harness import free_port
from rclpy.parameter import Parameter

from vla_inference_ros import convert
from vla_inference_ros.core.wire import RobotPacket
from vla_inference_ros.nodes.robot_bridge import RobotBridge

TIMEOUT = 20.0  # [s]


@pytest.fixture
def port() -> Iterator[int]:
    rclpy.init()
    yield free_port(socket.SOCK_STREAM)
    rclpy.shutdown()


def test_a_defect_is_a_trouble_and_no_silent_loop(
    port: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def defective(*_: object) -> None:
        raise ZeroDivisionError("a surprise")

    monkeypatch.setattr(convert, "robot_state", defective)
    given = {
        "port": port,
        "clock_mode": "trust",  # no trouble of a clock that is being learnt
        # libzmq's threads for the test, in the same process, must not get it while they start.
        "realtime_priority": 0,
    }
    bridge = RobotBridge(
        parameter_overrides=[Parameter(name, value=value) for name, value in given.items()]
    )
    (robot,) = bridge._streams
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.set(zmq.LINGER, 0)
        publisher.bind(f"tcp://127.0.0.1:{port}")
        deadline = time.monotonic() + TIMEOUT
        while robot.tally.read().rejected < 20:
            now = time.time()
            packet = RobotPacket(now, now, 1.0, (1.0,) * 6, (2.0,) * 6)
            publisher.send_multipart(packet.pack())
            time.sleep(0.005)
            assert time.monotonic() < deadline
        report = robot.report(time.time())
        assert "unexpected ZeroDivisionError" in report.troubles  # a busy machine has more
        assert (report.accepted, report.ready) == (0, False)
        assert bridge.failure is None
    bridge.close()
    said = capfd.readouterr().err
    assert "a message is not used, because of a ZeroDivisionError in test_bridge_defect.py" in said
    assert said.count("ZeroDivisionError") <= 3  # at a limited rate
