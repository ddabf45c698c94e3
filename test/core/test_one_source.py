from __future__ import annotations

from vla_inference_ros.core.one_source import SILENCE, Listening, OneSource, Source

FIRST, SECOND, THIRD = Source("10.0.0.1", 4001), Source("10.0.0.2", 4001), Source("10.0.0.3", 7)
RESTARTED = Source("10.0.0.1", 4002)
EVER = 0.0  # this host has always listened


def test_a_stream_belongs_to_its_first_source_as_long_as_that_sends() -> None:
    stream = OneSource()
    for number in range(100):
        now = 100.0 + 0.9 * SILENCE * number
        assert stream.admits(FIRST, now, EVER)
        assert not stream.admits(SECOND, now + 0.1, EVER)
        assert (stream.owner, stream.other) == (FIRST, SECOND)


def test_another_takes_over_once_the_first_has_been_silent() -> None:
    stream = OneSource()
    assert stream.admits(FIRST, 100.0, EVER)
    assert not stream.admits(SECOND, 100.0 + SILENCE, EVER)
    assert stream.admits(SECOND, 100.1 + SILENCE, EVER)
    assert (stream.owner, stream.other) == (SECOND, None)
    assert not stream.admits(FIRST, 100.2 + SILENCE, EVER)


def test_a_restarted_sender_is_another_source_of_the_same_host() -> None:
    stream = OneSource()
    assert stream.admits(FIRST, 100.0, EVER)
    assert not stream.admits(RESTARTED, 100.5, EVER)
    assert stream.admits(RESTARTED, 101.1, EVER)
    assert RESTARTED.host == FIRST.host


def test_a_stream_is_not_lost_while_this_host_stands_still() -> None:
    """What both have sent meanwhile is read in turn."""
    stream, listening = OneSource(), Listening(99.0)
    for number in range(10):
        listening.look(99.0 + 0.1 * number)
    assert stream.admits(FIRST, 100.0, listening.since)
    for number in range(100):
        now = 105.0 + number * 0.001
        listening.look(now)
        assert not stream.admits(SECOND, now, listening.since)
        assert stream.admits(FIRST, now, listening.since)


def test_silence_counts_from_when_this_host_listens_again() -> None:
    stream, listening = OneSource(), Listening(100.0)
    assert stream.admits(FIRST, 100.0, listening.since)
    admitted = []
    for number in range(20):
        now = 105.0 + 0.1 * number
        listening.look(now)
        admitted.append(stream.admits(SECOND, now, listening.since))
    assert admitted == [False] * 11 + [True] * 9


def test_of_several_others_one_is_named_at_a_time() -> None:
    """However many names somebody invents."""
    stream = OneSource()
    stream.admits(FIRST, 100.0, EVER)
    for number in range(1000):
        stream.admits(Source(f"invented {number}", number), 100.0 + number * 1e-4, EVER)
        assert stream.other == Source("invented 0", 0)
    stream.admits(FIRST, 101.0, EVER)
    stream.admits(THIRD, 101.3, EVER)
    assert stream.other == THIRD
