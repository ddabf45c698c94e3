from __future__ import annotations

import math
from array import array

from rcl_interfaces.msg import Log

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.msg import ActionChunk, InferenceStatus, SensorBatch
from vla_inference_ros.nodes.watched_topics import (
    board_chunk,
    fits,
    force_of,
    log_line,
    status_values,
)
from vla_inference_ros.web.board import Force, LogLine


def test_a_status_is_taken_whole() -> None:
    values = status_values(
        InferenceStatus(header=header(12.5), state=3, reason="late", joint_6=0.5)
    )
    fields = set(InferenceStatus.get_fields_and_field_types()) - {"header"}
    assert set(values) == fields | {"stamp"}
    assert (values["stamp"], values["state"], values["reason"]) == (12.5, 3, "late")
    assert values["joint_6"] == 0.5


def chunk(horizon: int, action_dim: int, count: int, names: list[str]) -> ActionChunk:
    return ActionChunk(
        header=header(12.5),
        horizon=horizon,
        action_dim=action_dim,
        actions=array("f", map(float, range(count))),
        action_names=names,
        validity=ActionChunk.DEGRADED,
        valid_steps=1,
    )


def test_a_chunk_has_a_row_for_each_step() -> None:
    message = chunk(2, 3, 6, ["a", "b", "c"])
    assert fits(message)
    found = board_chunk(message)
    assert found.steps == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert (found.names, found.stamp, found.ok, found.valid_steps) == (
        ["a", "b", "c"],
        12.5,
        False,
        1,
    )


def test_dimensions_without_a_name_are_numbered_and_names_without_a_dimension_dropped() -> None:
    assert board_chunk(chunk(1, 3, 3, ["a"])).names == ["a", "action 2", "action 3"]
    assert board_chunk(chunk(1, 1, 1, ["a", "b"])).names == ["a"]


def test_a_chunk_whose_numbers_do_not_fit_is_none() -> None:
    assert not fits(chunk(2, 3, 5, []))
    assert not fits(chunk(0, 0, 0, []))


def batch(stamp: float, *force: float) -> SensorBatch:
    return SensorBatch(header=header(stamp), force=array("f", force))


def test_force_is_least_most_and_newest_of_all_samples() -> None:
    batches = [batch(1.0, 0.5, -0.25), batch(2.0, math.nan, 0.75, 0.125)]
    assert force_of(batches) == Force(2.0, -0.25, 0.75, 0.125)


def test_without_a_number_there_is_no_force() -> None:
    assert force_of([]) is None
    assert force_of([batch(1.0)]) is None
    assert force_of([batch(1.0, math.nan, math.inf)]) is None


def test_a_line_of_the_log() -> None:
    message = Log(stamp=time_message(3.5), level=Log.WARN, name="vlm", msg="late")
    assert log_line(message) == LogLine(3.5, 30, "vlm", "late")
