from __future__ import annotations

from vla_inference_ros.core.reuse import ReuseCounter


def test_uses_of_one_update_are_counted_from_one() -> None:
    counter = ReuseCounter()
    assert [counter.count(7) for _ in range(6)] == [1, 2, 3, 4, 5, 6]


def test_another_update_starts_over() -> None:
    counter = ReuseCounter()
    assert [counter.count(update) for update in (1, 1, 1, 1, 2, 2, 5, 4, 4)] == [
        *(1, 2, 3, 4),
        *(1, 2),
        1,
        *(1, 2),  # a restarted VLM counts from the beginning again
    ]


def test_the_first_update_starts_at_one_whatever_its_key() -> None:
    for key in (0, "", (0, 0.0), None):
        assert ReuseCounter().count(key) == 1


def test_an_update_of_a_restarted_vlm_is_another_one() -> None:
    counter = ReuseCounter()
    assert counter.count((1, 100.0)) == 1
    assert counter.count((1, 100.0)) == 2
    assert counter.count((1, 160.5)) == 1


def test_looking_counts_nothing() -> None:
    counter = ReuseCounter()
    assert counter.uses(7) == 0
    counter.count(7)
    counter.count(7)
    assert [counter.uses(7) for _ in range(3)] == [2, 2, 2]
    assert counter.uses(8) == 0
    assert counter.count(7) == 3  # looking at another did not start over
