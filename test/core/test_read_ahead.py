from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from vla_inference_ros.core.read_ahead import read_ahead


def test_items_keep_their_order() -> None:
    with read_ahead(range(1000), 7) as items:
        assert list(items) == list(range(1000))


def test_so_many_are_held_ready_and_no_more() -> None:
    read, full = [], threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            if number == 5:
                full.set()
            yield number

    with read_ahead(numbers(), 5) as items:
        assert full.wait(10.0)  # five are ready, and one waits for room
        assert read == list(range(6))
        assert next(items) == 0


def test_trouble_comes_when_its_turn_has_come() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("damaged")

    with read_ahead(numbers(), 10) as items:
        assert next(items) == 1
        assert next(items) == 2
        with pytest.raises(ValueError, match="damaged"):
            next(items)


def test_who_stops_early_stops_the_reading() -> None:
    threads = threading.active_count()
    with read_ahead(iter(int, 1), 3) as items:
        next(items)
    assert threading.active_count() == threads
