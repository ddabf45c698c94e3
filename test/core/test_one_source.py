from __future__ import annotations

from vla_inference_ros.core.one_source import SILENCE, OneSource, Source

FIRST, SECOND, THIRD = Source("10.0.0.1", 4001), Source("10.0.0.2", 4001), Source("10.0.0.3", 7)
RESTARTED = Source("10.0.0.1", 4002)


def test_a_stream_belongs_to_its_first_source_as_long_as_that_sends() -> None:
    stream = OneSource()
    for number in range(100):
        now = 100.0 + 0.9 * SILENCE * number
        assert stream.admits(FIRST, now)
        assert not stream.admits(SECOND, now + 0.1)
        assert (stream.owner, stream.other) == (FIRST, SECOND)


def test_another_takes_over_once_the_first_has_been_silent() -> None:
    stream = OneSource()
    assert stream.admits(FIRST, 100.0)
    assert not stream.admits(SECOND, 100.0 + SILENCE)
    assert stream.admits(SECOND, 100.2 + SILENCE)
    assert (stream.owner, stream.other) == (SECOND, None)
    assert not stream.admits(FIRST, 100.3 + SILENCE)


def test_another_takes_over_with_its_second_item_if_it_begins_long_after() -> None:
    stream = OneSource()
    assert stream.admits(FIRST, 100.0)
    assert not stream.admits(SECOND, 200.0)
    assert stream.admits(SECOND, 200.2)


def test_a_stream_is_not_lost_while_this_host_stands_still() -> None:
    """What both have sent meanwhile is read in turn."""
    stream = OneSource()
    assert stream.admits(FIRST, 100.0)
    for number in range(100):
        now = 105.0 + number * 0.001
        assert not stream.admits(SECOND, now)
        assert stream.admits(FIRST, now)


def test_one_of_several_takes_over() -> None:
    stream = OneSource()
    assert stream.admits(FIRST, 100.0)
    admitted = [
        source
        for number in range(20)
        for source in (SECOND, THIRD)
        if stream.admits(source, 105.0 + number * 0.03)
    ]
    assert set(admitted) == {SECOND}


def test_a_restarted_sender_is_another_source_of_the_same_host() -> None:
    stream = OneSource()
    assert stream.admits(FIRST, 100.0)
    assert not stream.admits(RESTARTED, 100.5)
    assert stream.admits(RESTARTED, 101.1)
    assert RESTARTED.host == FIRST.host


def test_of_several_others_one_is_named_at_a_time() -> None:
    """However many names somebody invents."""
    stream = OneSource()
    stream.admits(FIRST, 100.0)
    for number in range(1000):
        stream.admits(Source(f"invented {number}", number), 100.0 + number * 1e-4)
        assert stream.other == Source("invented 0", 0)
    stream.admits(FIRST, 101.0)
    stream.admits(THIRD, 101.3)
    assert stream.other == THIRD
