import math
from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from fault_lines import CAMERA, ROBOT, SENSOR, STEP, camera, each_format, line, packets, sent, timed

from vla_inference_ros.sim.faults import (
    LIMITS,
    LONGEST_HOLD,
    FaultCounts,
    Faults,
    corrupted,
)
from vla_inference_ros.sim.formats import (
    Format,
)

# --- without faults


@each_format
def test_without_faults_every_packet_passes_untouched_and_at_once(form: Format) -> None:
    given = [*packets(form, 20), [b"junk"], [b"", b"", b""]]
    out = timed(line(form), given)
    assert [when for when, _ in out] == [number * STEP for number in range(22)]
    assert all(packet is before for (_, packet), before in zip(out, given, strict=True))


def test_nothing_counts_as_a_fault_when_there_is_none() -> None:
    through = line(ROBOT)
    timed(through, packets(ROBOT, 20))
    assert through.counts == FaultCounts(received=20, passed=20)
    assert not any(through.counts.faults.values())


@pytest.mark.parametrize("name", LIMITS)
def test_faults_beyond_their_limits_are_refused(name: str) -> None:
    low, high = LIMITS[name]
    for value in (low, high):
        assert getattr(line(ROBOT, 1, **{name: value}).faults, name) == value
    for value in (np.nextafter(low, -math.inf), np.nextafter(high, math.inf), math.nan):
        with pytest.raises(ValueError, match=rf"^{name} is \S+, not \S+ to \S+$"):
            line(ROBOT, 1, **{name: value})


# --- loss, duplicates, order


@pytest.mark.parametrize(("fault", "count"), [("loss", "lost"), ("duplicate", "duplicated")])
@each_format
def test_loss_and_duplicates_are_as_many_as_counted(form: Format, fault: str, count: str) -> None:
    given = packets(form, 300)
    for probability in (0.0, 0.2, 1.0):
        through = line(form, 1, **{fault: probability})
        copies = Counter(map(tuple, sent(through, given)))
        done = sum(copies[tuple(packet)] != 1 for packet in given)
        assert set(copies.values()) <= ({1} if fault == "loss" else {1, 2})
        assert through.counts.faults == dict(FaultCounts().faults, **{count: done})
        assert through.counts.received == 300
        assert through.counts.passed == copies.total()
        assert 30 < done < 90 if probability == 0.2 else done == 300 * probability


def test_a_duplicate_follows_its_original_at_once() -> None:
    given = packets(SENSOR, 3)
    out = timed(line(SENSOR, duplicate=1.0, delay=0.25), given)
    assert [packet for _, packet in out] == [packet for packet in given for _ in range(2)]
    assert [when for when, _ in out] == [0.25 + n * STEP for n in range(3) for _ in range(2)]


@each_format
def test_a_packet_out_of_order_goes_right_after_the_next_one(form: Format) -> None:
    given = packets(form, 6)
    through = line(form, reorder=1.0)
    out = timed(through, given)
    assert [packet for _, packet in out] == [given[n] for n in (1, 0, 3, 2, 5, 4)]
    assert [when for when, _ in out] == [n * STEP for n in (1, 1, 3, 3, 5, 5)]
    assert through.counts.reordered == 3


def test_packets_out_of_order_are_as_many_as_counted() -> None:
    given = packets(ROBOT, 300)
    through = line(ROBOT, reorder=0.2)
    order = [given.index(packet) for packet in sent(through, given)]
    assert sorted(order) == list(range(300))
    late = sum(here > after for here, after in pairwise(order))
    assert 20 < late < 80
    # The last of all may have been held back with none to overtake it.
    assert late <= through.counts.reordered <= late + 1


@each_format
def test_a_packet_that_none_overtakes_goes_after_a_while(form: Format) -> None:
    (packet,) = packets(form, 1)
    through = line(form, reorder=1.0, delay=0.25)
    through.put(packet, 2.0)
    assert through.next_due == 2.25 + LONGEST_HOLD
    assert through.ready(2.24 + LONGEST_HOLD) == []
    assert through.ready(2.25 + LONGEST_HOLD) == [packet]
    assert through.next_due is None


def test_a_lost_packet_overtakes_nothing() -> None:
    first, lost, third = packets(SENSOR, 3)
    through = line(SENSOR, reorder=1.0)
    through.put(first, 0.0)
    through.faults = Faults(loss=1.0)
    through.put(lost, STEP)
    assert through.ready(STEP) == []
    through.faults = Faults()
    through.put(third, 2 * STEP)
    assert through.ready(2 * STEP) == [third, first]


def test_an_overtaken_packet_still_has_its_own_delay() -> None:
    first, second = packets(SENSOR, 2)
    through = line(SENSOR, reorder=1.0, delay=0.25)
    through.put(first, 0.0)
    through.faults = Faults()
    through.put(second, STEP)
    assert through.ready(STEP) == [second]
    assert through.ready(0.24) == []
    assert through.ready(0.25) == [first]


def test_a_camera_is_overtaken_by_its_own_frames_only() -> None:
    given = [camera(number, name) for number, name in enumerate("abba")]
    assert sent(line(CAMERA, reorder=1.0), given) == [given[n] for n in (2, 1, 3, 0)]


# --- delay and jitter


@each_format
def test_a_delay_holds_up_all_packets_by_as_much(form: Format) -> None:
    given = packets(form, 50)
    through = line(form, delay=0.5)
    out = timed(through, given)
    assert [packet for _, packet in out] == given
    assert [when for when, _ in out] == [0.5 + number * STEP for number in range(50)]
    assert through.counts.delayed == 50


def test_a_packet_does_not_go_before_it_is_due() -> None:
    through = line(ROBOT, delay=0.5)
    (packet,) = packets(ROBOT, 1)
    through.put(packet, 7.0)
    assert through.next_due == 7.5
    assert through.ready(7.499) == []
    assert through.counts.passed == 0
    assert through.ready(7.5) == [packet]


@each_format
def test_jitter_is_between_nothing_and_its_limit(form: Format) -> None:
    given = packets(form, 300)
    out = timed(line(form, jitter=0.25, delay=0.5), given)
    late = np.array([when - 0.5 - given.index(packet) * STEP for when, packet in out])
    assert len(late) == 300
    assert (late >= 0.0).all()
    assert (late <= 0.25).all()
    assert late.max() > 0.2
    assert late.min() < 0.1  # those of a connection also wait for the ones before


def test_jitter_lets_datagrams_overtake() -> None:
    given = packets(SENSOR, 100)
    out = sent(line(SENSOR, jitter=0.25), given)
    assert out != given
    assert sorted(out) == sorted(given)


@pytest.mark.parametrize("form", [CAMERA, ROBOT], ids=["camera", "robot"])
def test_jitter_lets_no_packet_of_a_connection_overtake(form: Format) -> None:
    given = packets(form, 100)
    assert sent(line(form, jitter=0.25), given) == given


@pytest.mark.parametrize("form", [CAMERA, ROBOT], ids=["camera", "robot"])
def test_a_connection_keeps_its_order_when_its_delay_ends(form: Format) -> None:
    first, second, third = packets(form, 3)
    through = line(form, delay=0.5)
    through.put(first, 0.0)
    through.faults = Faults()
    through.put(second, 0.25)
    assert through.ready(0.25) == []
    assert through.ready(0.5) == [first, second]
    through.put(third, 0.625)
    assert through.ready(0.625) == [third]


# --- damage


@each_format
def test_corruption_changes_as_many_packets_as_counted(form: Format) -> None:
    given = packets(form, 300)
    for probability in (0.0, 0.2, 1.0):
        through = line(form, corrupt=probability)
        out = sent(through, given)
        changed = sum(after != before for after, before in zip(out, given, strict=True))
        assert through.counts.faults == FaultCounts(corrupted=changed).faults
        assert 30 < changed < 90 if probability == 0.2 else changed == 300 * probability


def test_damage_comes_in_all_ways_and_to_any_one_part() -> None:
    before = [b"header", bytes(range(200))]
    dice = Random(1)
    ways: set[tuple[int, str]] = set()
    for _ in range(500):
        after = corrupted(before, dice)
        assert len(after) == 2
        (at,) = (part for part in (0, 1) if after[part] != before[part])
        old, new = before[at], after[at]
        if len(new) == len(old):
            bits = sum((a ^ b).bit_count() for a, b in zip(old, new, strict=True))
            assert 1 <= bits <= 8 or at == 0
            ways.add((at, "flipped"))
        elif new.startswith(old):
            assert len(new) <= len(old) + 64
            ways.add((at, "extended"))
        else:
            assert len(new) < len(old)
            ways.add((at, "cut" if old.startswith(new) else "junk"))
    assert ways == {(at, way) for at in (0, 1) for way in ("flipped", "cut", "extended", "junk")}
    assert before == [b"header", bytes(range(200))]


@pytest.mark.parametrize("part", [b"", b"x"])
def test_even_the_smallest_part_is_never_the_same_after_damage(part: bytes) -> None:
    dice = Random(2)
    assert all(corrupted([part], dice) != [part] for _ in range(1000))


# --- the seed


@each_format
def test_the_seed_decides_everything(form: Format) -> None:
    given = packets(form, 100)
    faults: dict[str, Any] = {
        "jitter": 0.25,
        "loss": 0.2,
        "reorder": 0.2,
        "duplicate": 0.2,
        "corrupt": 0.2,
        "clock_drift": 50.0,
    }
    first, again = line(form, 5, **faults), line(form, 5, **faults)
    assert timed(first, given) == timed(again, given)
    assert first.counts == again.counts
    assert all(first.counts.faults[name] for name in ("lost", "reordered", "corrupted", "shifted"))
    assert timed(line(form, 6, **faults), given) != timed(line(form, 5, **faults), given)


def test_a_fault_more_does_not_change_who_suffers_another() -> None:
    given = packets(SENSOR, 100)
    alone = sent(line(SENSOR, loss=0.3), given)
    both = sent(line(SENSOR, loss=0.3, duplicate=1.0, delay=0.125), given)
    assert 40 < len(alone) < 100
    assert both[::2] == both[1::2] == alone
