import json

import numpy as np
import pytest
from fault_lines import (
    CAMERA,
    ROBOT,
    STEP,
    T,
    camera,
    each_format,
    jpeg,
    line,
    packets,
    sent,
    timed,
)

from vla_inference_ros.sim.faults import (
    FaultCounts,
    Faults,
)
from vla_inference_ros.sim.formats import (
    Format,
)


@pytest.mark.parametrize("step", [-3600.0, 0.5])
@each_format
def test_a_clock_step_moves_every_time_and_nothing_else(form: Format, step: float) -> None:
    given = packets(form, 5)
    through = line(form, clock_step=step)
    out = sent(through, given)
    for before, after in zip(given, out, strict=True):
        np.testing.assert_array_equal(form.times(after), form.times(before) + step)
        assert form.with_times(after, form.times(before)) == before
    assert through.counts.faults == FaultCounts(shifted=5).faults


@each_format
def test_a_drifting_clock_runs_fast_from_the_first_packet_on(form: Format) -> None:
    given = packets(form, 500)
    out = sent(line(form, clock_drift=1000.0, clock_step=-0.25), given)
    start = form.times(given[0])[0, 0]
    for before, after in zip(given, out, strict=True):
        times = form.times(before)
        expected = times - 0.25 + 1e-3 * (times - start)
        np.testing.assert_allclose(form.times(after), expected, rtol=0.0, atol=1e-6)


def test_a_drift_that_is_changed_starts_over() -> None:
    through = line(ROBOT, clock_drift=1000.0)
    given = packets(ROBOT, 200)
    assert ROBOT.times(sent(through, given)[-1])[0, 0] > ROBOT.times(given[-1])[0, 0] + 0.002
    through.faults = Faults()
    assert sent(through, given[-1:]) == given[-1:]
    through.faults = Faults(clock_drift=1000.0)
    assert ROBOT.times(sent(through, given[-1:])[0])[0, 0] == ROBOT.times(given[-1])[0, 0]


@each_format
def test_a_clock_that_jumps_about_moves_each_packet_by_as_much_as_is_set_either_way(
    form: Format,
) -> None:
    given = packets(form, 100)
    through = line(form, clock_jitter=0.5)
    out = sent(through, given)
    jumps = [
        form.times(after) - form.times(before) for before, after in zip(given, out, strict=True)
    ]
    for jump in jumps:
        np.testing.assert_allclose(jump, jump[0, 0], atol=1e-6)
    first = [jump[0, 0] for jump in jumps]
    assert -0.5 <= min(first) < -0.4
    assert 0.4 < max(first) <= 0.5
    assert through.counts.shifted == 100


def test_a_camera_header_keeps_what_the_clock_does_not_touch() -> None:
    header = {"camera": "oak", "gain": [1, 2], "timestamp": T, "size": 12}
    given = [json.dumps(header).encode(), jpeg(1), b"depth"]
    ((after, *rest),) = sent(line(CAMERA, clock_step=1.0), [given])
    assert json.loads(after) == header | {"timestamp": T + 1.0}
    assert rest == given[1:]


@each_format
def test_what_cannot_be_read_passes_the_clock_and_freezing_unchanged(form: Format) -> None:
    given = [[b"junk"], [b""], [b"{}", b"junk"], [part[:-5] for part in packets(form, 1)[0]]]
    through = line(form, clock_step=1.0, frozen=True)
    assert sent(through, given) == given
    assert not any(through.counts.faults.values())


# --- freezing


@each_format
def test_a_frozen_stream_repeats_one_packet_at_the_rate_of_those_that_come(form: Format) -> None:
    given = packets(form, 20)
    through = line(form)
    assert sent(through, given[:5]) == given[:5]
    through.faults = Faults(frozen=True)
    out = timed(through, [[b"junk"], *given[5:15]])
    assert [packet for _, packet in out] == [[b"junk"], *[given[5]] * 10]
    assert [when for when, _ in out] == [number * STEP for number in range(11)]
    assert through.counts.faults == FaultCounts(frozen=10).faults
    through.faults = Faults()
    assert sent(through, given[15:]) == given[15:]
    through.faults = Faults(frozen=True)
    assert sent(through, given[8:10]) == [given[8]] * 2


@each_format
def test_the_times_of_a_frozen_stream_may_go_on(form: Format) -> None:
    given = packets(form, 10)
    out = sent(line(form, frozen=True, frozen_stamps=False), given)
    for before, after in zip(given, out, strict=True):
        np.testing.assert_array_equal(form.times(after), form.times(before))
        assert form.with_times(after, form.times(given[0])) == given[0]


def test_every_camera_freezes_at_a_picture_of_its_own() -> None:
    given = [camera(number, "ab"[number % 2]) for number in range(10)]
    out = sent(line(CAMERA, frozen=True), given)
    assert out == [given[number % 2] for number in range(10)]


@each_format
def test_a_frozen_stream_has_the_clocks_faults_too(form: Format) -> None:
    given = packets(form, 3)
    for after in sent(line(form, frozen=True, clock_step=2.0), given):
        np.testing.assert_array_equal(form.times(after), form.times(given[0]) + 2.0)


# --- only some cameras


def test_only_some_cameras_suffer() -> None:
    given = [camera(number, f"zed_{number % 2}") for number in range(10)]
    junk = [b"junk", b""]
    through = line(CAMERA, only="ed_1", loss=1.0)
    assert sent(through, [*given, junk]) == [*given[::2], junk]
    assert through.counts.lost == 5
    assert sent(line(CAMERA, only="zed", loss=1.0), [*given, junk]) == [junk]


def test_a_camera_that_is_held_up_holds_up_no_other() -> None:
    given = [camera(number, "ab"[number % 2]) for number in range(4)]
    out = timed(line(CAMERA, only="a", delay=0.5), given)
    assert [packet for _, packet in out] == [given[n] for n in (1, 3, 0, 2)]
    assert [when for when, _ in out] == [STEP, 3 * STEP, 0.5, 0.5 + 2 * STEP]


def test_a_camera_that_is_thawed_alone_shows_its_own_pictures() -> None:
    through = line(CAMERA, only="a", frozen=True)
    given = [camera(number, "a") for number in range(6)]
    assert sent(through, given[:2]) == [given[0]] * 2
    through.faults = Faults(only="b", frozen=True)
    assert sent(through, given[2:4]) == given[2:4]
    through.faults = Faults(only="a", frozen=True)
    assert sent(through, given[4:]) == [given[4]] * 2
