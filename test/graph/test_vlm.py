from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from harness import Listener, NodeProcess, Parameter, SimulatedTime, failed_start, problems, running
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from vla_inference_ros.convert import header, seconds
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION
from vla_inference_ros.msg import VLFeatures
from vla_inference_ros.nodes import qos

VIEWS = ["View1", "View2", "View4"]
COMPRESSED = {"View1": "/rig/left/compressed", "View4": "/rig/right/compressed"}
RAW = {"View2": "/driver/color/image_raw", "View4": "/rig/right"}
PERIOD = 0.25  # [s]


def vlm(**parameters: Parameter) -> AbstractContextManager[NodeProcess]:
    """A VLM that takes one view compressed, one raw, and one both ways."""
    given: dict[str, Parameter] = {
        "model": "stub",
        "stub_vl_ms": 20.0,
        "action_rate": 4 / PERIOD,
        "vl_reuse": 4,
        "views": VIEWS,
        "compressed_topics": [COMPRESSED.get(view, "") for view in VIEWS],
        "raw_topics": [RAW.get(view, "") for view in VIEWS],
    }
    return running("vlm", **given | parameters)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def jpeg(seed: int) -> bytes:
    return cv2.imencode(".jpg", pixels(seed))[1].tobytes()


def raw_image(stamp: float, seed: int = 0, encoding: str = "bgr8", cut: int = 0) -> Image:
    data = pixels(seed).tobytes()
    return Image(
        header=header(stamp),
        width=64,
        height=48,
        step=3 * 64,
        encoding=encoding,
        data=array("B", data[: len(data) - cut]),
    )


@dataclass
class Cameras:
    """Any camera driver's publishers."""

    listener: Listener

    def compressed(self, view: str, stamp: float, data: bytes) -> None:
        image = CompressedImage(header=header(stamp), format="jpeg", data=array("B", data))
        self.listener.deliver(image, COMPRESSED[view])

    def raw(self, view: str, image: Image) -> None:
        self.listener.deliver(image, RAW[view])

    def all(self, stamp: float, seed: int = 0) -> None:
        """A good picture of every view, View1's the oldest, 1/64 s apart."""
        self.compressed("View1", stamp, jpeg(seed))
        self.raw("View2", raw_image(stamp + 1 / 64, seed + 1))
        self.compressed("View4", stamp + 2 / 64, jpeg(seed + 2))


def view_stamps(features: VLFeatures) -> list[float]:
    return [seconds(stamp) for stamp in features.view_stamps]


@pytest.fixture
def cameras(listener: Listener) -> Cameras:
    return Cameras(listener)


# First those that start a node of their own: the others share one, which then stays.


def test_nothing_comes_until_all_views_are_there(cameras: Cameras, listener: Listener) -> None:
    updates = listener.listen(VLFeatures, "/vla/features")
    publisher = listener.publisher(String, "/vla/instruction", qos.INSTRUCTION)
    publisher.publish(String(data="Said before the start"))
    with vlm():
        listener.report(
            "vlm",
            "View2",
            lambda report: report.ready and report.accepted > 1,
            repeat=lambda: cameras.raw("View2", raw_image(1.7e9)),
        )
        cameras.compressed("View4", 1.7e9, jpeg(1))
        listener.report("vlm", "View4", lambda report: report.accepted == 1)
        assert not listener.report("vlm", "vlm").ready
        assert not updates
        cameras.compressed("View1", 1.7e9, jpeg(2))
        listener.spin_until(lambda: updates)
        assert updates[0].update_id == 1
        assert updates[0].instruction == "Said before the start"
        assert listener.report("vlm", "vlm", lambda report: report.ready).accepted > 0
    publisher.publish(String(data=DEFAULT_INSTRUCTION))  # to the next nodes


def test_updates_follow_simulated_time_and_never_queue(
    cameras: Cameras, listener: Listener
) -> None:
    clock = SimulatedTime(listener)
    listener.wait_until_alone()
    with vlm(use_sim_time=True, stub_vl_ms=300.0) as node:
        listener.report(
            "vlm",
            "vlm",
            lambda report: seconds(report.header.stamp) < 2000.0,
            repeat=lambda: clock.say(clock.now + PERIOD),
        )
        heard = listener.listen(VLFeatures, "/vla/features")

        def started() -> list[float]:  # not of the node before, which knew the real time
            return [t for update in heard if (t := seconds(update.started)) < 2000.0]

        cameras.all(999.0)
        listener.wait_until_delivered()  # before time goes on
        start = clock.now
        listener.spin_until(
            lambda: started()[-1:] == [start + 0.25], repeat=lambda: clock.say(start + 0.25)
        )
        count = len(started())
        clock.say(start + 0.5)
        listener.spin_for(0.1)  # in the middle of the next update, time goes on
        listener.spin_until(
            lambda: len(started()) == count + 1, repeat=lambda: clock.say(start + 1.4)
        )
        listener.spin_for(0.5)  # the ticks at 0.75, 1.0 and 1.25 are over, and not made up for
        assert len(started()) == count + 1
        listener.spin_until(
            lambda: len(started()) == count + 2, repeat=lambda: clock.say(start + 1.5)
        )
        assert started()[-1] == start + 1.5
        node.wait_until_said("(skipped tick: ")


def test_parameters_that_cannot_be_used_are_named() -> None:
    assert "'views'" in failed_start("vlm", model="stub", views=["View1", "View9"])
    assert "'raw_topics'" in failed_start("vlm", model="stub", raw_topics=[""])


@pytest.fixture(scope="module")
def node() -> Iterator[NodeProcess]:
    with vlm() as node:
        yield node


@pytest.fixture
def features(node: NodeProcess, cameras: Cameras, listener: Listener) -> list[VLFeatures]:
    """What comes from a node that has had all views, with stamps just before 1.7e9."""
    cameras.all(1.7e9 - 1)
    updates = listener.listen(VLFeatures, "/vla/features")
    listener.spin_until(
        lambda: updates and view_stamps(updates[-1])[0] == 1.7e9 - 1,
        repeat=lambda: cameras.all(1.7e9 - 1),
    )
    del updates[:-1]
    return updates


def update_of(listener: Listener, updates: list[VLFeatures], stamps: list[float]) -> VLFeatures:
    """The first update whose views have these stamps, waited for."""

    def found() -> list[VLFeatures]:
        return [update for update in updates if view_stamps(update) == stamps]

    listener.spin_until(found)
    return found()[0]


def test_an_update_says_all_that_it_was_made_of(
    features: list[VLFeatures], cameras: Cameras, listener: Listener
) -> None:
    stamps = [1.7e9, 1.7e9 + 1 / 64, 1.7e9 + 2 / 64]
    before = time.time()
    cameras.all(stamps[0], seed=10)
    update = update_of(listener, features, stamps)
    assert seconds(update.header.stamp) == stamps[0]
    assert update.update_id > 1
    assert update.instruction == DEFAULT_INSTRUCTION
    assert "stub" in update.model_id
    assert list(update.views) == VIEWS
    assert list(update.shape) == [1, 1, 2048]
    assert len(update.data) == 2048
    assert before - PERIOD < seconds(update.started) < seconds(update.finished) < time.time()
    assert seconds(update.finished) - seconds(update.started) >= 0.019
    ids = [each.update_id for each in features]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert update.data != features[0].data  # other pictures, other features


def test_each_update_takes_the_newest_picture_of_each_view(
    features: list[VLFeatures], cameras: Cameras, listener: Listener
) -> None:
    for index in range(1, 21):
        cameras.all(1.7e9 + index, seed=index)
    cameras.raw("View2", raw_image(1.7e9 + 30))
    cameras.raw("View4", raw_image(1.7e9 + 31))  # a view's two topics stand in for each other
    update_of(listener, features, [1.7e9 + 20, 1.7e9 + 30, 1.7e9 + 31])
    stamps = np.array([view_stamps(update) for update in features])
    assert (np.diff(stamps, axis=0) >= 0).all()
    assert len(stamps) < 20  # of all that came, only a few were taken


def test_a_wrong_stamp_does_not_keep_later_pictures_out(
    features: list[VLFeatures], cameras: Cameras, listener: Listener
) -> None:
    stamps = view_stamps(features[-1])
    cameras.compressed("View1", 2e9, jpeg(1))  # years ahead
    update_of(listener, features, [2e9, *stamps[1:]])
    cameras.compressed("View1", 1.7e9, jpeg(2))
    update_of(listener, features, [1.7e9, *stamps[1:]])


def test_the_instruction_changes_while_it_runs(
    node: NodeProcess, features: list[VLFeatures], listener: Listener
) -> None:

    def say(instruction: str) -> None:
        listener.deliver(String(data=instruction), "/vla/instruction", qos.INSTRUCTION)

    before = features[-1]
    say(" \n")
    node.wait_until_said("an empty /vla/instruction is not used")
    say(" Hold the needle still\n")
    listener.spin_until(lambda: features[-1].instruction == "Hold the needle still")
    assert {update.instruction for update in features} == {
        DEFAULT_INSTRUCTION,
        "Hold the needle still",
    }
    assert features[-1].data != before.data
    report = listener.report("vlm", "vlm", lambda report: "empty instruction" in problems(report))
    assert problems(report)["empty instruction"] == 1
    say("needle " * 300)
    report = listener.report("vlm", "vlm", lambda report: "long instruction" in problems(report))
    assert problems(report)["long instruction"] == 1
    say(DEFAULT_INSTRUCTION)
    listener.spin_until(lambda: features[-1].instruction == DEFAULT_INSTRUCTION)


def test_broken_pictures_are_counted_and_good_ones_resume(
    node: NodeProcess, features: list[VLFeatures], cameras: Cameras, listener: Listener
) -> None:
    good = 1.7e9 + 100
    whole = jpeg(3)

    def wait_for_count(view: str, count: int) -> None:
        report = listener.report("vlm", view, lambda report: report.rejected == count)
        assert problems(report) == {"undecodable": count}

    bad = [
        (b"", raw_image(0.0, encoding="nonsense")),
        (whole[: len(whole) // 2], raw_image(0.0, cut=1)),
    ]
    for count, (compressed, raw) in enumerate(bad, start=1):
        cameras.compressed("View1", 0.0, compressed)
        cameras.raw("View2", raw)
        wait_for_count("View2", count)
        cameras.raw("View2", raw_image(good + count))
        wait_for_count("View1", count)
        cameras.compressed("View1", good + count, whole)
        update_of(listener, features, [good + count, good + count, view_stamps(features[-1])[2]])
    assert not any(0.0 in view_stamps(update) for update in features)
    assert 1 <= len(node.said("View1: no update with this picture")) <= 2
    assert 1 <= len(node.said("View2: no update with this picture")) <= 2


def test_updates_come_no_faster_than_planned(
    features: list[VLFeatures], listener: Listener
) -> None:
    listener.spin_until(lambda: len(features) > 8)
    elapsed = seconds(features[-1].started) - seconds(features[0].started)
    assert len(features) - 1 <= elapsed / PERIOD + 1
