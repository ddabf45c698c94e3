"""The pictures of recorded updates are those that the VLM took, also of cameras that froze."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.replay.lineage import NotRecordedError
from vla_inference_ros.replay.pictures import RecordedPictures

START = 1_700_000_000.25
OFFSET = 12.345678
PERIOD = 1 / 15
VIEWS = ("View1", "View2")
Update = tuple[dict[str, float], float, list[bytes]]  # stamps, when it was ready, pictures


def frame(view: str, stamp: float, received: float, content: int) -> Received[CameraFrame]:
    jpeg = f"{view} {content}".encode()
    return Received(CameraFrame("camera", stamp - OFFSET, jpeg, 8, 8), OFFSET, received, view)


def film(
    seconds: float, view: str = "View1", frozen: tuple[float, float] = (0.0, 0.0), step: float = 0.0
) -> list[Received[CameraFrame]]:
    """Frames of a camera that repeats its picture from the first to the second time in ``frozen``,
    and whose clock is set by ``step`` half way.
    """
    frames = []
    for number in range(int(seconds / PERIOD)):
        t = number * PERIOD
        content = int(frozen[0] / PERIOD) if frozen[0] <= t < frozen[1] else number
        stamp = START + t + (step if t > seconds / 2 else 0.0)
        frames.append(frame(view, stamp, START + t + 0.01, content))
    return frames


def updates_of(
    frames: list[Received[CameraFrame]], mode: str, period: float = 0.4, first: float = 0.5
) -> Iterator[Update]:
    """What the VLM takes: the newest picture of each view. With ``stale``, which it no longer has,
    one that repeats the last bore the stamp of the last that differed.
    """
    views = sorted({f.view for f in frames})
    runs: dict[str, tuple[bytes, float, float | None]] = {}  # picture, newest stamp, stamp before
    end = max(f.received for f in frames)
    for started in np.arange(START + first, end, period):
        stamps, pictures = {}, []
        for view in views:
            newest = [f for f in frames if f.view == view and f.received <= started][-1]
            own = newest.packet.timestamp + newest.clock_offset
            jpeg = newest.packet.jpeg
            last, last_stamp, before = runs.get(view, (None, own, None))
            if last != jpeg or own < last_stamp:
                before = None if last is None else min(last_stamp, own)
                earliest = own
            else:
                earliest = own if before is None else before
            runs[view] = jpeg, own, before
            stamps[view] = round(earliest if mode == "stale" else own, 6)
            pictures.append(jpeg)
        yield stamps, float(started) + 0.35, pictures


def assert_found(frames: list[Received[CameraFrame]], mode: str = "warn", **rhythm: float) -> None:
    frames = sorted(frames, key=lambda f: f.received)
    recorded = RecordedPictures(iter(frames))
    updates = list(updates_of(frames, mode, **rhythm))
    assert len(updates) >= 4
    for stamps, ready, pictures in updates:
        found = recorded.views(stamps, ready)
        assert [view.name for view in found] == list(stamps)
        assert [view.picture for view in found] == pictures


@pytest.mark.parametrize("mode", ["warn", "stale"])
def test_of_live_cameras(mode: str) -> None:
    assert_found(film(4.0) + film(4.0, "View2"), mode)


@pytest.mark.parametrize("mode", ["warn", "stale"])
@pytest.mark.parametrize("until", [1.5, 2.3, 4.0])
def test_of_a_camera_that_freezes(mode: str, until: float) -> None:
    assert_found(film(4.0, frozen=(1.0, until)) + film(4.0, "View2"), mode)


def test_a_frozen_cameras_stamp_may_be_another_pictures() -> None:
    """The tests above would be of no use if it were not."""
    frames = film(4.0, frozen=(1.0, 4.0))
    named = {f.packet.timestamp + OFFSET: f.packet.jpeg for f in frames}
    misleading = 0
    for stamps, _, (picture,) in updates_of(frames, "stale"):
        jpeg = named[min(named, key=lambda stamp: abs(stamp - stamps["View1"]))]
        misleading += jpeg != picture
    assert misleading >= 2


@pytest.mark.parametrize("mode", ["warn", "stale"])
@pytest.mark.parametrize("step", [-1.02, 1.02])
def test_of_a_camera_whose_clock_is_set(mode: str, step: float) -> None:
    assert_found(film(4.0, step=step) + film(4.0, "View2"), mode)


@pytest.mark.parametrize("mode", ["warn", "stale"])
@pytest.mark.parametrize("seed", range(10))
def test_of_cameras_that_freeze_again_and_again(mode: str, seed: int) -> None:
    draw = random.Random(seed)
    frames = film(20.0, "View2")
    content = 0
    for number in range(300):
        content += draw.random() < 0.4
        received = START + number * PERIOD + draw.uniform(0.0, 0.05)
        frames.append(frame("View1", START + number * PERIOD, received, content))
    assert_found(frames, mode, period=draw.choice((0.1, 0.4, 1.0)))


def test_of_a_camera_whose_clock_is_ahead() -> None:
    ahead = [
        replace(f, packet=replace(f.packet, timestamp=f.packet.timestamp + 60.0))
        for f in film(4.0, "View2")
    ]
    assert_found(film(4.0) + ahead)


def test_of_a_run_by_simulated_time() -> None:
    frames = sorted(film(4.0) + film(4.0, "View2"), key=lambda f: f.received)
    recorded = RecordedPictures(replace(f, received=f.received + 1e8) for f in frames)
    for stamps, ready, pictures in updates_of(frames, "warn"):
        assert [view.picture for view in recorded.views(stamps, ready)] == pictures


def test_without_its_picture_there_is_none() -> None:
    frames = sorted(film(4.0) + film(4.0, "View2"), key=lambda f: f.received)
    updates = list(updates_of(frames, "warn"))
    lost = updates[3][0]["View2"]
    kept = [
        f
        for f in frames
        if f.view != "View2" or abs(f.packet.timestamp + OFFSET - lost) > PERIOD / 2
    ]
    recorded = RecordedPictures(iter(kept))
    for number, (stamps, ready, pictures) in enumerate(updates):
        if number == 3:
            with pytest.raises(NotRecordedError, match="pictures of View2 are not in the record"):
                recorded.views(stamps, ready)
        else:
            assert [view.picture for view in recorded.views(stamps, ready)] == pictures


def test_a_long_time_without_updates_takes_no_memory() -> None:
    alive = most = yielded = 0

    class Picture(bytes):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def walk() -> Iterator[Received[CameraFrame]]:
        nonlocal alive, most, yielded
        for number in range(1000):
            stamp = START + number * PERIOD
            frame = CameraFrame("", stamp, Picture(b"%d" % number), 8, 8)
            alive, yielded = alive + 1, yielded + 1
            most = max(most, alive)
            yield Received(frame, 0.0, stamp + 0.01, "View1")

    recorded = RecordedPictures(walk())
    for number in (5, 800):
        ready = START + number * PERIOD + 0.3
        (view,) = recorded.views({"View1": START + number * PERIOD}, ready)
        assert view.picture == b"%d" % number
    assert yielded > 800
    assert most < 40
