"""What the VLM makes updates of; one node for all tests."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from harness import Listener, NodeProcess, problems
from std_msgs.msg import String
from vlm_cameras import BASE, PERIOD, VIEWS, Cameras, jpeg, raw_image, view_stamps, vlm

from vla_inference_ros.convert import seconds
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION
from vla_inference_ros.msg import VLFeatures
from vla_inference_ros.nodes import qos


@pytest.fixture
def cameras(listener: Listener) -> Cameras:
    return Cameras(listener)


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
        assert problems(report) == {"damaged picture": count}

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
