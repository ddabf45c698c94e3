"""The expected lines are written out: people and scripts read exactly these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vla_inference_ros.core.console import (
    ActionLine,
    ActionPace,
    StatusBlock,
    WaitLine,
    vl_update_line,
)

ACTION = ActionLine(
    chunk_id=1,
    reuse_index=1,
    reuse_limit=4,
    action=[0.123, -0.045, 0.089, 0.5, 0.6, 0.7, 1.0],
    duration=0.0243,
    samples=65,
    window=65,
)
WAIT = WaitLine(features=False, views_ready=0, views=5, samples=65, window=65, min_samples=30)
STATUS = StatusBlock(
    clock="14:32:15",
    vl_updates=25,
    vl_mean=0.381,
    actions=100,
    action_mean=0.0232,
    images={f"View{index}": 3000 for index in range(1, 6)},
    samples=65,
    window=65,
    joint_1=45.23,
    position_x=123.45,
)


def test_vl_update() -> None:
    assert vl_update_line(1, 0.385) == "🔄 [VL Update #1] Completed in 385ms"
    assert vl_update_line(1234, 1.4874) == "🔄 [VL Update #1234] Completed in 1487ms"


def test_action() -> None:
    assert str(ACTION) == (
        "[ACTION #1] VL_reuse=1/4 | Actions[0]: [0.123, -0.045, 0.089, ...] | Time: 24.3ms | "
        "Sensor: 65/65"
    )


def test_action_takes_an_array_and_needs_no_dots_for_three_numbers() -> None:
    line = replace(ACTION, action=np.array([1.0, -2.0, 0.25], np.float32))  # type: ignore[arg-type]
    assert "Actions[0]: [1.000, -2.000, 0.250] |" in str(line)
    assert "Actions[0]: [] |" in str(replace(ACTION, action=[]))


def test_action_says_its_reasons_at_the_end() -> None:
    line = replace(ACTION, samples=40, reasons=["VLM late", "gaps"])
    assert str(line).endswith("| Sensor: 40/65 | DEGRADED: VLM late; gaps")


def test_action_says_how_many_were_left_out_before_its_reasons() -> None:
    line = replace(ACTION, left_out=9)
    assert str(line).endswith("| Sensor: 65/65 | Not shown: 9")
    assert str(replace(line, reasons=["VLM late"])).endswith("| Not shown: 9 | DEGRADED: VLM late")


def paced(period: float, *chunks: tuple[float, int]) -> list[int | None]:
    """What is said of chunks, given as (time, verdict)."""
    pace = ActionPace(period)
    return [pace.see(now, verdict) for now, verdict in chunks]


def test_without_a_period_every_chunk_has_a_line() -> None:
    assert paced(0.0, (5.0, 0), (5.0, 0), (5.1, 1), (5.2, 1)) == [0, 0, 0, 0]


def test_with_a_period_one_chunk_in_it_has_a_line_and_the_others_are_counted() -> None:
    chunks = [(100 + number / 8, 0) for number in range(17)]
    said = paced(1.0, *chunks)
    assert said == [0, *[None] * 7, 7, *[None] * 7, 7]


def test_chunks_that_come_a_little_late_do_not_make_lines_ever_rarer() -> None:
    chunks = [(number / 8 + (0.03 if number % 8 == 0 else 0.0), 0) for number in range(1, 81)]
    said = [count for count in paced(1.0, (0.0, 0), *chunks) if count is not None]
    assert said == [0, *[7] * 10]


def test_a_change_of_the_verdict_is_said_at_once_and_begins_a_new_period() -> None:
    chunks = [(0.0, 0), (0.1, 0), (0.2, 1), (0.3, 1), (0.4, 0), (1.0, 0), (1.3, 0), (1.4, 0)]
    assert paced(1.0, *chunks) == [0, None, 1, None, 1, None, None, 2]


def test_after_a_pause_lines_do_not_come_in_a_heap() -> None:
    assert paced(1.0, (0.0, 0), (9.75, 0), (10.0, 0), (10.5, 0), (10.75, 0)) == [
        0,
        0,
        None,
        None,
        2,
    ]


def test_wait() -> None:
    assert str(WAIT) == "[WAIT] VL Features: False | Images: False (0/5) | Sensor: True (65/65)"


def test_wait_says_true_only_when_all_views_and_enough_samples_are_there() -> None:
    assert "Images: False (4/5)" in str(replace(WAIT, views_ready=4))
    assert "Images: True (5/5)" in str(replace(WAIT, views_ready=5))
    assert "Images: False (0/0)" in str(replace(WAIT, views=0))
    assert "Sensor: False (29/65)" in str(replace(WAIT, samples=29))
    assert "Sensor: True (30/65)" in str(replace(WAIT, samples=30))
    assert "VL Features: True" in str(replace(WAIT, features=True))


def test_status() -> None:
    assert str(STATUS).splitlines() == [
        "--- Status (14:32:15) ---",
        "VL Updates: 25 | VL avg: 381ms",
        "Actions: 100 | Action avg: 23.2ms",
        "Images recv: View1:3000, View2:3000, View3:3000, View4:3000, View5:3000",
        "Sensor buffer: 65/65",
        "Robot: J1=45.23°, Px=123.45mm",
    ]


def test_status_before_anything_came() -> None:
    lines = str(replace(STATUS, images={}, joint_1=None, position_x=None)).splitlines()
    assert lines[3] == "Images recv: none"
    assert lines[5] == "Robot: no packet yet"
