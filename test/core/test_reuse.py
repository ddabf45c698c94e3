from __future__ import annotations

from vla_inference_ros.core.reuse import ReuseCounter


def test_uses_of_one_update_are_counted_from_one() -> None:
    counter = ReuseCounter()
    assert [counter.next_index(7) for _ in range(6)] == [1, 2, 3, 4, 5, 6]


def test_another_update_starts_over() -> None:
    counter = ReuseCounter()
    assert [counter.next_index(update) for update in (1, 1, 1, 1, 2, 2, 5, 4, 4)] == [
        *(1, 2, 3, 4),
        *(1, 2),
        1,
        *(1, 2),  # a restarted VLM counts from the beginning again
    ]


def test_the_first_update_starts_at_one_whatever_its_id() -> None:
    assert ReuseCounter().next_index(0) == 1
