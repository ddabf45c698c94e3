from __future__ import annotations

import itertools
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
BASE = float(int(time.time()) - 1000)  # when what these tests send was taken [Unix s]
ANY_AGE: dict[str, Parameter] = {"image_age_soft": 3600.0, "image_age_hard": 3600.0}


PHASE = PERIOD / 4 / 2  # of an update's tick, half an action period


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
    return running("vlm", **given | ANY_AGE | parameters)


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
            repeat=lambda: cameras.raw("View2", raw_image(BASE)),
        )
        cameras.compressed("View4", BASE, jpeg(1))
        listener.report("vlm", "View4", lambda report: report.accepted == 1)
        assert not listener.report("vlm", "vlm").ready
        assert not updates
        cameras.compressed("View1", BASE, jpeg(2))
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
        first = start + 0.25 + PHASE
        listener.spin_until(lambda: started()[-1:] == [first], repeat=lambda: clock.say(first))
        count = len(started())
        clock.say(first + PERIOD)
        listener.spin_for(0.1)  # in the middle of the next update, time goes on
        listener.spin_until(
            lambda: len(started()) == count + 1, repeat=lambda: clock.say(start + 1.4)
        )
        # Of the ticks that passed meanwhile the newest is taken, late, and none is made up for.
        listener.spin_until(lambda: len(started()) == count + 2)
        assert started()[-1] == start + 1.4
        listener.spin_for(0.5)
        assert len(started()) == count + 2
        listener.spin_until(
            lambda: len(started()) == count + 3,
            repeat=lambda: clock.say(start + 1.5 + PHASE),
        )
        assert started()[-1] == start + 1.5 + PHASE
        node.wait_until_said("(skipped tick: ")


def test_parameters_that_cannot_be_used_are_named() -> None:
    assert "'views'" in failed_start("vlm", model="stub", views=["View1", "View9"])
    assert "'raw_topics'" in failed_start("vlm", model="stub", raw_topics=[""])


def test_old_images_degrade_and_then_hold_until_new_ones_come(
    cameras: Cameras, listener: Listener
) -> None:
    updates = listener.listen(VLFeatures, "/vla/features")
    seeds = itertools.count(step=10)

    def shoot() -> None:
        cameras.all(time.time() - 2 / 64, next(seeds))

    def shoot_but_view_2() -> None:
        now = time.time()
        cameras.compressed("View1", now, jpeg(next(seeds)))
        cameras.compressed("View4", now, jpeg(next(seeds)))

    with vlm(image_age_soft=0.2, image_age_hard=1.0) as node:
        listener.spin_until(lambda: updates and not updates[-1].reasons, repeat=shoot)
        first = len(updates)
        report = listener.report(
            "vlm", "vlm", lambda r: "image of View2 is " in r.hold, repeat=shoot_but_view_2
        )
        assert "over the limit of 1 s" in report.hold
        assert not report.ready
        for update in updates[first:]:
            age = seconds(update.started) - view_stamps(update)[1]
            assert age <= 1.0
            assert list(update.reasons) == (
                [f"image of View2 is {age:.2f} s old, over 0.2 s"] if age > 0.2 else []
            )
        assert any(update.reasons for update in updates[first:])
        count = len(updates)
        listener.spin_until(lambda: len(updates) > count and not updates[-1].reasons, repeat=shoot)
        assert not listener.report("vlm", "vlm", lambda r: r.ready, repeat=shoot).hold
        assert node.said("no update: image of View2 is ")


@pytest.mark.parametrize("choice", ["warn", "stale"])
def test_a_camera_that_has_frozen_but_goes_on_stamping_is_noticed(
    choice: str, cameras: Cameras, listener: Listener
) -> None:
    seeds = itertools.count(step=10)

    def shoot() -> None:  # View4 always sees the same
        now = time.time()
        cameras.compressed("View1", now, jpeg(next(seeds)))
        cameras.raw("View2", raw_image(now, next(seeds)))
        cameras.compressed("View4", now, jpeg(7))

    with vlm(image_age_soft=0.2, image_age_hard=1.0, unchanged_pictures=choice) as node:
        listener.spin_until(lambda: node.said("byte for byte the same"), repeat=shoot)
        frozen = listener.report("vlm", "View4", lambda r: r.rejected > 0, repeat=shoot)
        assert set(problems(frozen)) == {"frozen"}
        if choice == "stale":
            listener.report("vlm", "vlm", lambda r: "image of View4 is " in r.hold, repeat=shoot)
        else:
            assert not listener.report("vlm", "vlm", repeat=shoot).hold
        assert not problems(listener.report("vlm", "View1", repeat=shoot))


@pytest.fixture(scope="module")
def node() -> Iterator[NodeProcess]:
    with vlm() as node:
        yield node


@pytest.fixture
def features(node: NodeProcess, cameras: Cameras, listener: Listener) -> list[VLFeatures]:
    """What comes from a node that has had all views, with stamps just before BASE."""
    cameras.all(BASE - 1)
    updates = listener.listen(VLFeatures, "/vla/features")
    listener.spin_until(
        lambda: updates and view_stamps(updates[-1])[0] == BASE - 1,
        repeat=lambda: cameras.all(BASE - 1),
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
    stamps = [BASE, BASE + 1 / 64, BASE + 2 / 64]
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
        cameras.all(BASE + index, seed=index)
    cameras.raw("View2", raw_image(BASE + 30))
    cameras.raw("View4", raw_image(BASE + 31))  # a view's two topics stand in for each other
    update_of(listener, features, [BASE + 20, BASE + 30, BASE + 31])
    stamps = np.array([view_stamps(update) for update in features])
    assert (np.diff(stamps, axis=0) >= 0).all()
    assert len(stamps) < 20  # of all that came, only a few were taken


def test_a_wrong_stamp_does_not_keep_later_pictures_out(
    node: NodeProcess, features: list[VLFeatures], cameras: Cameras, listener: Listener
) -> None:
    stamps = view_stamps(features[-1])
    cameras.compressed("View1", 2e9, jpeg(1))  # years ahead
    report = listener.report("vlm", "vlm", lambda report: "image of View1 is " in report.hold)
    assert "from the future" in report.hold
    cameras.compressed("View1", BASE, jpeg(2))
    update_of(listener, features, [BASE, *stamps[1:]])
    assert 2e9 not in {stamp for update in features for stamp in view_stamps(update)}


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
    good, damaged = BASE + 100, BASE + 50
    whole = jpeg(3)

    def wait_for_count(view: str, count: int) -> None:
        report = listener.report("vlm", view, lambda report: report.rejected == count)
        assert problems(report) == {"undecodable": count}

    bad = [
        (b"", raw_image(damaged, encoding="nonsense")),
        (whole[: len(whole) // 2], raw_image(damaged, cut=1)),
    ]
    for count, (compressed, raw) in enumerate(bad, start=1):
        cameras.compressed("View1", damaged, compressed)
        cameras.raw("View2", raw)
        wait_for_count("View2", count)
        cameras.raw("View2", raw_image(good + count))
        wait_for_count("View1", count)
        cameras.compressed("View1", good + count, whole)
        update_of(listener, features, [good + count, good + count, view_stamps(features[-1])[2]])
    assert not any(damaged in view_stamps(update) for update in features)
    assert 1 <= len(node.said("View1: no update with this picture")) <= 2
    assert 1 <= len(node.said("View2: no update with this picture")) <= 2


def test_updates_come_no_faster_than_planned(
    features: list[VLFeatures], listener: Listener
) -> None:
    listener.spin_until(lambda: len(features) > 8)
    elapsed = seconds(features[-1].started) - seconds(features[0].started)
    assert len(features) - 1 <= elapsed / PERIOD + 1
