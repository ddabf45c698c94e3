"""What strangers send cannot fill what is kept of senders and reporters, nor what people read."""

from __future__ import annotations

import time
from itertools import islice

from harness import LATCHED, Listener, running
from wire_streams import PICTURE, camera_stream, header

from vla_inference_ros.convert import header as ros_header
from vla_inference_ros.core.printable import LONGEST, MOST
from vla_inference_ros.msg import ActionChunk, InferenceStatus, StreamReport

REPORTERS, CAMERAS = 3000, 64
ESCAPE = "\x1b[2J\n[monitor] OK\u202e"


def report(node: str, stream: str, *troubles: str) -> StreamReport:
    return StreamReport(header=ros_header(time.time()), node=node, stream=stream, troubles=troubles)


def test_invented_reporters_do_not_fill_the_verdict(listener: Listener) -> None:
    def say(*reports: StreamReport) -> None:
        for each in reports:
            listener.deliver(each, "/vla/reports")

    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    with running("monitor", status_period=0.2, verbosity="debug") as node:
        numbers = iter(range(10**6))

        def invent(count: int) -> None:
            for number in islice(numbers, count):
                say(report(f"a_{number}{ESCAPE}", "x" * 500, f"on fire {number}{ESCAPE}"))

        invent(REPORTERS)
        # A monitor that gets no time to listen hears the newest of them alone.
        listener.spin_until(
            lambda: node.said("what publishes on /vla/reports?"), repeat=lambda: invent(20)
        )
        mine = "View1: nothing comes"
        stranger = report(f"a_1{ESCAPE}", "x", "on fire")
        listener.spin_until(
            lambda: statuses and statuses[-1].troubles and statuses[-1].troubles[0] == mine,
            repeat=lambda: say(report("camera_bridge", "View1", "nothing comes"), stranger),
        )
        for status in statuses:
            assert len(status.troubles) <= MOST + 1
            assert all(len(each) < 6 * LONGEST and each.isprintable() for each in status.troubles)
        assert len(node.said("what publishes on /vla/reports?")) == 1
    assert all(line.isprintable() for line in node.lines)


def test_a_chunks_reason_cannot_act_on_the_console(listener: Listener) -> None:
    reasons = [f"the robot is slow{ESCAPE}", *map(str, range(5000))]
    chunk = ActionChunk(horizon=1, action_dim=1, chunk_id=7, reasons=reasons, validity=1)
    chunk.header = ros_header(time.time())
    chunk.actions.append(0.5)
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    with running("monitor", allow_several_publishers=True) as node:
        listener.deliver(chunk, "/vla/actions")
        node.wait_until_said("[ACTION #7]")
        listener.spin_until(lambda: "the robot is slow" in str(statuses))
        assert all(len(status.reason) < (MOST + 2) * LONGEST for status in statuses)
    (line,) = node.said("[ACTION #7]")
    assert r"DEGRADED: the robot is slow\x1b[2J\n[monitor] OK\u202e; 0; 1; " in line
    assert line.endswith("more")
    assert all(line.isprintable() for line in node.lines)


def test_invented_cameras_do_not_keep_a_real_one_out(listener: Listener) -> None:
    with camera_stream() as (_, stream):
        topic, kind = next(iter(stream.topics.items()))
        frames = listener.listen(kind, topic)
        listener.spin_until(lambda: frames, repeat=lambda: stream.send(stream.good(time.time())))
        for number in range(CAMERAS):
            stream.send([header(camera=f"left_41182735_{number}"), PICTURE])
        frames.clear()
        listener.spin_until(
            lambda: frames,
            repeat=lambda: stream.send([header(camera="another_left_41182735"), PICTURE]),
        )
