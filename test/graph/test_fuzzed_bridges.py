"""Whatever comes over the wire: the bridges live on, count it by its kind, and what is good beside
it is published. On real sockets, with somebody who listens to every topic, so that each message is
made and sent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from harness import Listener, problems
from mutations import mutate
from wire_streams import PICTURE, Stream, camera_stream, header, robot_stream, sensor_stream

SEED = 11
SHORT, FULL = 1_000, 100_000  # damaged packets of a stream
BURST = 50  # after which a good packet must have arrived: nothing is dropped in a queue
SURROGATE = "left_41182735\ud800"


def await_good(stream: Stream, heard: dict[str, list[Any]], listener: Listener) -> None:
    """Send good packets until one has come on every topic."""
    for messages in heard.values():
        messages.clear()
    listener.spin_until(
        lambda: all(heard.values()), repeat=lambda: stream.send(stream.good(time.time()))
    )


@pytest.mark.long
@pytest.mark.parametrize("opened", [camera_stream, robot_stream, sensor_stream])
def test_no_packet_ends_a_bridge_or_keeps_good_ones_from_every_topic(
    opened: Callable[[], Any], listener: Listener, full: bool
) -> None:
    source = random.Random(SEED)
    with opened() as (node, stream):
        heard = {topic: listener.listen(kind, topic) for topic, kind in stream.topics.items()}
        await_good(stream, heard, listener)
        for number in range(FULL if full else SHORT):
            if number % BURST == 0:
                await_good(stream, heard, listener)
            odd = stream.odd[number % len(stream.odd)] if stream.odd and number % 10 == 0 else None
            stream.send(odd or mutate(stream.good(time.time()), source))
        await_good(stream, heard, listener)
        assert node.process.poll() is None
        report = listener.report(stream.node, stream.stream)
        assert problems(report), "nothing was refused"
        assert not [kind for kind in problems(report) if "unexpected" in kind], node.lines
        assert not node.said("unexpected")


def test_half_a_character_in_a_camera_name_is_refused_and_the_camera_named(
    listener: Listener,
) -> None:
    with camera_stream() as (node, stream):
        heard = {topic: listener.listen(kind, topic) for topic, kind in stream.topics.items()}
        await_good(stream, heard, listener)
        report = listener.report(
            "camera_bridge",
            "camera",
            lambda report: "bad JSON" in report.troubles,
            repeat=lambda: stream.send([header(camera=SURROGATE), PICTURE]),
        )
        assert problems(report)["bad JSON"] >= 1
        assert r"'left_41182735\ud800'" in node.said("bad JSON")[0]
        await_good(stream, heard, listener)
        listener.report("camera_bridge", "camera", lambda report: not report.troubles)
