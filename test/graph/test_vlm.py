"""When the VLM makes updates, and when it does not."""

from __future__ import annotations

import itertools
import time

import cv2
import numpy as np
import pytest
from harness import Listener, SimulatedTime, failed_start, problems
from std_msgs.msg import String
from vlm_cameras import BASE, PERIOD, PHASE, Cameras, jpeg, raw_image, view_stamps, vlm

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.troubles import (
    BLANK,
    DAMAGED,
    REPEATED_PICTURES,
    TWIN,
    UNCHANGED,
)
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION
from vla_inference_ros.msg import VLFeatures
from vla_inference_ros.nodes import qos
from vla_inference_ros.sim.jpeg_content import commented, cut, emptied, zeroed


@pytest.fixture
def cameras(listener: Listener) -> Cameras:
    return Cameras(listener)


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
        heard = listener.listen(VLFeatures, "/vla/features")

        def started() -> list[float]:  # not of the node before, which knew the real time
            return [t for update in heard if (t := seconds(update.started)) < 2000.0]

        clock.say(clock.now + PHASE)

        def go_on() -> None:
            cameras.all(999.0)
            listener.wait_until_delivered()  # before time goes on
            clock.say(clock.now + PERIOD)

        listener.spin_until(started, repeat=go_on)  # it is active, and has all views
        first = clock.now
        start = first - PERIOD - PHASE
        listener.spin_until(lambda: started()[-1] == first)
        listener.spin_for(0.5)  # on a busy machine an update for the tick before began as late
        count = len(started())
        clock.say(first + PERIOD)
        listener.spin_for(0.1)  # in the middle of the next update, time goes on
        # Of the ticks that passed meanwhile the newest is taken, late, and none is made up for.
        listener.spin_until(
            lambda: started()[-1] == start + 1.375, repeat=lambda: clock.say(start + 1.375)
        )
        listener.spin_for(0.5)
        since = started()[count:]
        on_a_busy_machine = [start + 1.375]  # the update had not begun
        assert since in ([first + PERIOD, start + 1.375], on_a_busy_machine)
        count = len(started())
        listener.spin_until(
            lambda: len(started()) > count, repeat=lambda: clock.say(start + 1.5 + PHASE)
        )
        assert started()[count:] == [start + 1.5 + PHASE]
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


@pytest.mark.parametrize("choice", ["hold", "degrade", "warn"])
def test_a_camera_that_has_frozen_but_goes_on_stamping_has_the_chosen_consequence(
    choice: str, cameras: Cameras, listener: Listener
) -> None:
    updates = listener.listen(VLFeatures, "/vla/features")
    seeds = itertools.count(step=10)

    def shoot() -> None:  # View4 always sees the same, in a picture that is coded anew
        now = time.time()
        cameras.compressed("View1", now, jpeg(next(seeds)))
        cameras.raw("View2", raw_image(now, next(seeds)))
        cameras.compressed("View4", now, commented(jpeg(7), str(next(seeds))))

    with vlm(image_age_soft=0.2, image_age_hard=1.0, dead_pictures=choice) as node:
        frozen = listener.report("vlm", "View4", lambda r: UNCHANGED in r.troubles, repeat=shoot)
        assert not problems(frozen)
        node.wait_until_said(f"View4: {UNCHANGED}: has the camera, or its driver, frozen?")
        why = f"View4: {UNCHANGED}"
        if choice == "hold":
            listener.report("vlm", "vlm", lambda r: r.hold == why, repeat=shoot)
        else:
            count = len(updates)
            listener.spin_until(lambda: len(updates) > count + 2, repeat=shoot)
            assert list(updates[-1].reasons) == ([why] if choice == "degrade" else [])
            assert not listener.report("vlm", "vlm", repeat=shoot).hold
        assert not listener.report("vlm", "View1", repeat=shoot).troubles


class Ring:
    """View4 shows the same pictures again and again; the others live. Ten of each a second."""

    def __init__(self, cameras: Cameras, length: int) -> None:
        self._cameras = cameras
        self._pictures = [jpeg(7 + 10 * n) for n in range(length)]
        self._due = 0.0
        self.sent = 0
        self.is_over = False

    def shoot(self) -> None:
        now = time.time()
        if now < self._due:
            return
        seed = 10 * self.sent
        old = self._pictures[self.sent % len(self._pictures)]
        self._cameras.compressed("View1", now, jpeg(seed))
        self._cameras.raw("View2", raw_image(now, seed + 1))
        self._cameras.compressed("View4", now, jpeg(seed + 3) if self.is_over else old)
        self._due = now + 0.09
        self.sent += 1


def test_no_update_is_of_a_ring_of_old_pictures(cameras: Cameras, listener: Listener) -> None:
    """Which are hardly ever looked at twice."""
    updates = listener.listen(VLFeatures, "/vla/features")
    ring = Ring(cameras, 33)
    with vlm(dead_pictures="hold"):
        listener.spin_until(lambda: updates, repeat=ring.shoot)  # of those that are new
        why = f"View4: {REPEATED_PICTURES}"
        listener.report("vlm", "vlm", lambda r: r.hold == why, repeat=ring.shoot)
        listener.spin_for(0.5)
        count, until = len(updates), ring.sent + 20
        while ring.sent < until:
            report = listener.report("vlm", "View4", repeat=ring.shoot)
            assert REPEATED_PICTURES in report.troubles
        assert len(updates) == count
        ring.is_over = True
        listener.spin_until(lambda: len(updates) > count, repeat=ring.shoot)


def test_no_update_is_of_a_picture_whose_size_is_another_though_it_is_hardly_looked_at(
    cameras: Cameras, listener: Listener
) -> None:
    """As of a damaged header; as many blocks in other rows are decoded without a complaint."""
    updates = listener.listen(VLFeatures, "/vla/features")
    seeds = itertools.count(step=10)
    odd: set[float] = set()
    size = (48).to_bytes(2, "big") + (64).to_bytes(2, "big")
    lying = (96).to_bytes(2, "big") + (32).to_bytes(2, "big")

    def shoot(*, is_odd: bool) -> None:
        now = round(time.time(), 3)
        cameras.all(now, next(seeds))
        if is_odd:  # View4's first one is as new as the others are
            odd.add(now + 3 / 64)
            cameras.compressed("View4", now + 3 / 64, jpeg(next(seeds)).replace(size, lying, 1))

    def of_odd() -> list[VLFeatures]:
        return [each for each in updates if min(abs(view_stamps(each)[2] - t) for t in odd) < 1e-4]

    with vlm(dead_pictures="hold"):
        listener.spin_until(lambda: updates, repeat=lambda: shoot(is_odd=False))
        for n in range(120):  # not before the true size is known
            shoot(is_odd=n > 20 and n % 2 == 0)
            listener.spin_for(0.03)
        assert not of_odd()
        said = "View4: pictures have changed their size from 64x48 to 32x96"
        listener.report("vlm", "vlm", lambda r: r.hold == said, repeat=lambda: shoot(is_odd=True))
        count = len(updates)
        listener.spin_until(lambda: len(updates) > count, repeat=lambda: shoot(is_odd=False))


def test_a_covered_lens_and_a_camera_on_two_views_are_told(
    cameras: Cameras, listener: Listener
) -> None:
    seeds = itertools.count(step=10)
    dark = cv2.imencode(".jpg", np.full((48, 64, 3), 5, np.uint8))[1].tobytes()

    def shoot() -> None:  # View2 and View4 have one camera
        now, seed = time.time(), next(seeds)
        cameras.compressed("View1", now, dark)
        cameras.raw("View2", raw_image(now, seed))
        cameras.compressed("View4", now, jpeg(seed))

    with vlm():
        listener.report("vlm", "View1", lambda r: BLANK in r.troubles, repeat=shoot)
        for view in ("View2", "View4"):
            listener.report("vlm", view, lambda r: TWIN in r.troubles, repeat=shoot)


def test_pictures_that_are_only_odd_are_counted_and_used(
    cameras: Cameras, listener: Listener
) -> None:
    updates = listener.listen(VLFeatures, "/vla/features")
    seeds = itertools.count(step=10)

    def shoot() -> None:
        cameras.all(time.time() - 2 / 64, next(seeds))
        cameras.compressed("View4", time.time(), jpeg(next(seeds)) + bytes(512))

    with vlm():
        report = listener.report("vlm", "View4", lambda r: bool(r.oddities), repeat=shoot)
        assert report.oddities[0].startswith("bytes behind the JPEG's end: ")
        assert report.rejected == 0
        assert not report.troubles
        listener.spin_until(lambda: updates, repeat=shoot)


def test_no_update_is_of_a_damaged_picture(cameras: Cameras, listener: Listener) -> None:
    updates = listener.listen(VLFeatures, "/vla/features")
    seeds = itertools.count(step=10)
    with vlm() as node:
        listener.spin_until(lambda: updates, repeat=lambda: cameras.all(BASE, next(seeds)))
        for count, damage in enumerate((zeroed, cut, emptied), start=1):
            bad, good = BASE + 10 * count, BASE + 10 * count + 5
            cameras.compressed("View4", bad, damage(jpeg(next(seeds))))
            refused = {DAMAGED: count}
            listener.report("vlm", "View4", lambda r: problems(r) == refused)  # noqa: B023 - at once
            cameras.compressed("View4", good, jpeg(next(seeds)))
            listener.spin_until(lambda: view_stamps(updates[-1])[2] == good)  # noqa: B023
            assert bad not in {stamp for update in updates for stamp in view_stamps(update)}
        node.wait_until_said("View4: no update with this picture: View4: the JPEG is damaged")
