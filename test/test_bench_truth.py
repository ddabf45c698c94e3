"""The bench of the faults tells wrong chunks from right ones, by what it knows of the senders."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from truth import FOREIGN, STREAMS, Origin, Truth

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.wire import (
    SENSOR_RATE,
)
from vla_inference_ros.model.interface import SENSOR_WINDOW, VIEWS
from vla_inference_ros.msg import ActionChunk, RobotState, VLFeatures

T = 1_700_000_000.0  # when the chunk is for
TAKEN = T - 0.5  # when the update took its images
NEWEST = 1000.0  # number of the newest sample


class Scene:
    """What was sent, and a chunk from it; right in every way unless something is changed."""

    def __init__(
        self,
        *,
        image_age: float = 0.55,
        sample_age: float = 0.02,
        robot_age: float = 0.01,
        stamped_later: dict[str, float] | None = None,
    ) -> None:
        self.truth = Truth()
        ages = dict.fromkeys(VIEWS, 0.55) | {"View2": image_age, "robot": robot_age}
        self.stamps: dict[str, float] = {}
        for stream, age in ages.items():
            self.add(stream, 7.0, T - age, (stamped_later or {}).get(stream, 0.0))
        for back in range(SENSOR_WINDOW - 1, -1, -1):
            acquired = T - sample_age - back / SENSOR_RATE
            self.add("sensor", NEWEST - back, acquired, (stamped_later or {}).get("sensor", 0.0))
        self.features = VLFeatures(update_id=3, started=time_message(TAKEN))
        sensor = self.stamps["sensor"]
        self.chunk = ActionChunk(
            header=header(T),
            vl_update_id=3,
            views=list(VIEWS),
            view_stamps=[time_message(self.stamps[view]) for view in VIEWS],
            sensor_first_stamp=time_message(sensor - (SENSOR_WINDOW - 1) / SENSOR_RATE),
            sensor_last_stamp=time_message(sensor),
            sensor_samples=SENSOR_WINDOW,
            sensor_missing=0,
            sensor_mask=array("B", [1] * SENSOR_WINDOW),
            robot_state=RobotState(header=header(self.stamps["robot"]), force=7.0),
        )

    def add(self, stream: str, number: float, acquired: float, later: float) -> None:
        """An item that was sent, handed on, and published with a stamp that is ``later`` [s]."""
        truth = self.truth[stream]
        truth.origins[number] = Origin(acquired, acquired)
        truth.handed_on.add(number)
        truth.note_published(acquired + later, number, T - 0.001)
        self.stamps[stream] = acquired + later

    def degraded(self) -> Scene:
        """The same, but the chunk does not say that it is OK."""
        self.chunk.validity = ActionChunk.DEGRADED
        return self

    @property
    def wrongs(self) -> list[str]:
        return self.truth.wrongs(self.chunk, self.features, T + 0.03)


def scene_with(name: str, age: float) -> Scene:
    """A scene in which one thing is as old as that."""
    ages: dict[str, Any] = {name: age}
    return Scene(**ages)


def test_a_chunk_from_what_was_sent_is_right() -> None:
    assert Scene().wrongs == []


def test_a_little_error_of_the_clocks_is_no_fault() -> None:
    later = dict.fromkeys(STREAMS, 0.004)
    assert Scene(sample_age=0.102, stamped_later=later).wrongs == []


@pytest.mark.parametrize(
    ("name", "age", "complaint"),
    [
        ("sample_age", 0.31, "newest sample truly 0.310 s old, over 0.3 s"),
        ("image_age", 2.1, "View2 truly 2.100 s old, over 2 s"),
        ("image_age", 1.6, "View2 truly 1.100 s old when taken, over 1 s"),
    ],
)
def test_a_chunk_from_stale_data_is_wrong_whatever_it_says(
    name: str, age: float, complaint: str
) -> None:
    assert complaint in scene_with(name, age).wrongs
    assert complaint in scene_with(name, age).degraded().wrongs


def test_a_stale_chunk_is_wrong_also_if_its_stamps_look_fresh() -> None:
    """And also while a step of the clock may have spoilt them."""
    scene = Scene(sample_age=1.5, stamped_later={"sensor": 1.49})
    assert [wrong for wrong in scene.wrongs if "stamped +1490.0 ms off" in wrong]
    scene.truth["sensor"].steps.append(T - 1.6)
    assert scene.wrongs == ["newest sample truly 1.500 s old, over 0.3 s"]


@pytest.mark.parametrize(
    ("name", "age", "complaint"),
    [
        ("sample_age", 0.11, "newest sample truly 0.110 s old, over 0.1 s, but OK"),
        ("robot_age", 0.11, "robot state truly 0.110 s old, over 0.1 s, but OK"),
        ("robot_age", 60.0, "robot state truly 60.000 s old, over 0.1 s, but OK"),
        ("image_age", 0.71, "View2 truly 0.210 s old when taken, over 0.2 s, but OK"),
    ],
)
def test_a_chunk_that_hides_its_reservations_is_wrong(
    name: str, age: float, complaint: str
) -> None:
    assert scene_with(name, age).wrongs == [complaint]
    assert scene_with(name, age).degraded().wrongs == []


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stamp_that_is_off_is_wrong_but_not_right_after_a_step(stream: str) -> None:
    scene = Scene(stamped_later={stream: -0.006}).degraded()
    assert scene.wrongs
    assert all("stamped -6.0 ms off its acquisition" in wrong for wrong in scene.wrongs)
    scene.truth[stream].steps.append(T - 10.0)
    assert scene.wrongs
    scene.truth[stream].steps.append(T - 1.0)
    assert scene.wrongs == []


def test_a_stamp_of_nothing_is_wrong() -> None:
    scene = Scene()
    scene.chunk.sensor_last_stamp = time_message(T - 0.005)
    assert scene.wrongs == ["newest sample has a stamp of nothing that was sent"]
    scene = Scene()
    scene.chunk.robot_state.force = 8.0
    assert scene.wrongs == ["robot state has a stamp of nothing that was sent"]


def test_a_picture_of_a_second_sender_is_wrong() -> None:
    scene = Scene()
    view3 = scene.truth["View3"]
    view3.note_published(scene.stamps["View3"], FOREIGN, T - 0.0005)  # the newer one counts
    assert scene.wrongs == ["View3 is a second sender's"]
    assert scene.degraded().wrongs == ["View3 is a second sender's"]


@pytest.mark.parametrize(("back", "wrong"), [(0.05, True), (0.2, False), (-1.0, False)])
def test_a_second_senders_sample_in_the_windows_time_is_wrong(back: float, wrong: bool) -> None:
    scene = Scene()
    scene.truth["sensor"].note_published(T - 0.02 - back, FOREIGN, T - 0.01)
    expected = ["1 of a second sender's samples in the window's time"] if wrong else []
    assert scene.wrongs == expected


def test_what_is_published_later_explains_no_chunk() -> None:
    scene = Scene()
    scene.chunk.sensor_last_stamp = time_message(T - 0.005)
    scene.truth["sensor"].origins[NEWEST + 9] = Origin(T - 0.005, T)
    scene.truth["sensor"].note_published(T - 0.005, NEWEST + 9, T + 0.031)
    assert scene.wrongs == ["newest sample has a stamp of nothing that was sent"]


def test_a_mask_with_a_sample_that_was_lost_is_wrong() -> None:
    scene = Scene().degraded()
    scene.truth["sensor"].handed_on.discard(NEWEST - 5)
    assert scene.wrongs == ["mask has 1 samples that were never handed on"]
    scene.chunk.sensor_mask[SENSOR_WINDOW - 1 - 5] = 0
    scene.chunk.sensor_samples, scene.chunk.sensor_missing = SENSOR_WINDOW - 1, 1
    assert scene.wrongs == []


def test_counts_that_are_not_the_mask_s_are_wrong() -> None:
    scene = Scene().degraded()
    scene.chunk.sensor_mask[3] = 0
    assert scene.wrongs == ["65 samples and 0 missing, by its mask 64 and 1"]


def test_features_that_nobody_published_are_wrong() -> None:
    scene = Scene()
    assert scene.truth.wrongs(scene.chunk, None, T) == ["update 3 was never published"]


def test_a_damaged_item_is_not_judged_but_the_others_are() -> None:
    scene = Scene(robot_age=3.0, sample_age=0.4)
    scene.truth["robot"].damaged.add(7.0)
    assert scene.wrongs == ["newest sample truly 0.400 s old, over 0.3 s"]


def test_a_frozen_picture_that_is_stamped_anew_counts_once_it_is_over_the_hard_limit() -> None:
    scene = Scene(image_age=1.4, stamped_later={"View2": 0.8})
    scene.truth["View2"].repeated.add(7.0)
    assert scene.wrongs == []
    scene = Scene(image_age=1.6, stamped_later={"View2": 1.0})
    scene.truth["View2"].repeated.add(7.0)
    assert scene.wrongs == ["View2 truly 1.100 s old when taken, over 1 s"]


def test_a_chunk_of_a_damaged_picture_is_wrong_whatever_it_says() -> None:
    scene = Scene().degraded()
    scene.truth["View2"].unusable.add(7.0)
    assert scene.wrongs == ["View2 is a damaged picture"]


def told(*said: tuple[float, str]) -> Scene:
    """A scene whose features are by "Go on", and instructions that were said when [s before]."""
    scene = Scene()
    scene.features.model_id, scene.features.instruction = "the model", "Go on"
    scene.features.finished = time_message(TAKEN + 0.4)
    scene.truth.note_features(VLFeatures(model_id="the model", instruction="Begin"))
    for before, text in said:
        scene.truth.note_instruction(text, TAKEN - before)
    return scene


@pytest.mark.parametrize(
    "said",
    [
        [(9.0, "Go on")],
        [(9.0, "Stop"), (8.0, "Go on")],
        [(9.0, "Go on"), (0.1, "Stop")],  # the update may not know it yet
        [(9.0, "Stop"), (-0.1, "Go on")],  # while it ran
    ],
)
def test_features_by_what_was_said_last_are_right(said: list[tuple[float, str]]) -> None:
    assert told(*said).wrongs == []


@pytest.mark.parametrize(
    "said", [[], [(9.0, "Go on"), (1.0, "Stop")], [(9.0, "Stop"), (-1.0, "Go on")]]
)
def test_features_by_an_instruction_that_does_not_hold_are_wrong(
    said: list[tuple[float, str]],
) -> None:
    assert "its instruction is 'Go on', which is not the last, but OK" in told(*said).wrongs
    assert told(*said).degraded().wrongs == []


def test_features_of_another_model_than_the_first_ones_are_wrong() -> None:
    scene = told((9.0, "Go on"))
    scene.features.model_id = "another"
    assert scene.wrongs == ["its features are of another, but OK"]
