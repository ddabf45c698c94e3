from __future__ import annotations

from vla_inference_ros.core.troubles import LASTS, Troubles, other_size, second_source


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_what_has_been_seen_is_told_for_a_while() -> None:
    clock = FakeClock()
    troubles = Troubles(clock)
    assert troubles.current() == []
    troubles.see("late")
    clock.time += 0.6 * LASTS
    troubles.see("gone")
    assert troubles.current() == ["gone", "late"]
    clock.time += 0.6 * LASTS
    assert troubles.current() == ["gone"]
    clock.time += 0.6 * LASTS
    assert troubles.current() == []


def test_what_goes_on_is_told_on_and_once() -> None:
    clock = FakeClock()
    troubles = Troubles(clock)
    for _ in range(20):
        troubles.see("late")
        clock.time += 0.3 * LASTS
        assert troubles.current() == ["late"]


def test_what_lasts_is_told_until_it_is_over() -> None:
    clock = FakeClock()
    troubles = Troubles(clock)
    troubles.keep("silent", False)
    assert troubles.current() == []
    troubles.keep("silent", True)
    clock.time += 100 * LASTS
    assert troubles.current() == ["silent"]
    troubles.keep("silent", False)
    assert troubles.current() == []


def test_troubles_that_name_ever_new_sizes_do_not_pile_up() -> None:
    troubles = Troubles(FakeClock())
    for number in range(1, 1000):
        told = other_size((number, 1), (640, 360))
        troubles.keep(told, True)
        assert troubles.current() == [told]
        troubles.keep(told, False)
    assert len(troubles._lasting) == 0


def test_both_of_one_name_are_one_trouble() -> None:
    troubles = Troubles(FakeClock())
    troubles.see("silent")
    troubles.keep("silent", True)
    assert troubles.current() == ["silent"]


def test_troubles_that_name_ever_new_sources_do_not_pile_up() -> None:
    clock = FakeClock()
    troubles = Troubles(clock)
    for number in range(1000):
        clock.time += 0.4 * LASTS
        troubles.see(second_source(f"10.0.0.{number}"))
    assert len(troubles.current()) == 3
    assert len(vars(troubles)["_until"]) <= 4
