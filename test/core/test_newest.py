from __future__ import annotations

import threading

from vla_inference_ros.core.newest import NewestItems

MOMENT = 0.01  # [s]


def taken(items: NewestItems[int]) -> list[int]:
    found = []
    while (item := items.take(0.0)) is not None:
        found.append(item)
    return found


def test_items_come_in_the_order_in_which_they_were_put() -> None:
    items: NewestItems[int] = NewestItems(3)
    for number, source in enumerate("ababba"):
        assert not items.put(source, number)
    assert taken(items) == [0, 1, 2, 3, 4, 5]
    assert items.take(MOMENT) is None


def test_without_room_the_oldest_of_the_same_source_goes() -> None:
    items: NewestItems[int] = NewestItems(3)
    assert not items.put("b", -1)
    dropped = [items.put("a", number) for number in range(1000)]
    assert dropped == [False] * 3 + [True] * 997
    assert not items.put("b", -2)
    assert taken(items) == [-1, 997, 998, 999, -2]
    assert not items.put("a", 1000)
    assert taken(items) == [1000]


def test_a_thread_that_waits_gets_what_comes() -> None:
    items: NewestItems[int] = NewestItems(1000)
    found: list[int | None] = []
    thread = threading.Thread(target=lambda: found.extend(items.take(20.0) for _ in range(1000)))
    thread.start()
    for number in range(1000):
        items.put("a", number)
    thread.join(20.0)
    assert found == list(range(1000))
