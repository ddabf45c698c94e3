from __future__ import annotations

import pytest

from vla_inference_ros.core.origin import Origin
from vla_inference_ros.core.run_state import Entry

VIEWS = ["View1", "View2"]


@pytest.mark.parametrize(
    ("model", "views", "change"),
    [
        ("qwen 1234", VIEWS, ""),
        ("qwen 5678", VIEWS, "the model from qwen 1234 to qwen 5678"),
        ("qwen 1234", VIEWS[::-1], "the views from View1, View2 to View2, View1"),
        ("qwen 1234", VIEWS[:1], "the views from View1, View2 to View1"),
        ("tiny", [], "the model from qwen 1234 to tiny; the views from View1, View2 to "),
    ],
)
def test_what_features_are_of_is_to_stay(model: str, views: list[str], change: str) -> None:
    origin = Origin()
    origin.see("qwen 1234", VIEWS)
    assert not origin.change
    origin.see(model, views)
    assert origin.change == (f"what features are of has changed: {change}" if change else "")
    origin.see("qwen 1234", VIEWS)
    assert not origin.change


def followed(origin: Origin, instruction: str, *asked: tuple[int, str]) -> str:
    origin.follow(instruction, [Entry(*each) for each in asked])
    return origin.surprise


def test_an_instruction_that_a_message_asked_for_is_no_surprise() -> None:
    origin = Origin()
    assert not followed(origin, "Perform")
    assert not followed(origin, "Perform", (5, "Hold"), (6, "Rest"))  # not yet
    assert not followed(origin, "Hold", (5, "Hold"), (6, "Rest"))
    assert not followed(origin, "Rest", (5, "Hold"), (6, "Rest"))
    assert not followed(origin, "Hold", (6, "Rest"), (9, "Hold"))


def test_one_that_nobody_asked_for_is_one_until_it_is_asked_for_or_over() -> None:
    origin = Origin()
    assert not followed(origin, "Hold", (5, "Hold"))
    reason = (
        "the instruction changed from 'Hold' to 'Perform', and no message on /vla/instruction "
        "said so"
    )
    for _ in range(3):
        assert followed(origin, "Perform", (5, "Hold")) == reason
    assert not followed(origin, "Hold", (5, "Hold"))
    assert followed(origin, "Perform", (5, "Hold")) == reason
    assert not followed(origin, "Perform", (5, "Hold"), (7, "Perform"))


def test_one_from_before_the_present_one_is_a_surprise_too() -> None:
    origin = Origin()
    asked = ((5, "Hold"), (6, "Rest"))
    assert not followed(origin, "Hold", asked[0])
    assert not followed(origin, "Rest", *asked)
    assert followed(origin, "Hold", *asked)


def test_the_first_one_is_to_be_what_was_asked_for_last() -> None:
    reason = "the instruction is 'Perform', and not the last on /vla/instruction"
    assert followed(Origin(), "Perform", (5, "Hold")) == reason
    assert followed(Origin(), "Hold", (5, "Hold"), (6, "Rest"))
    assert not followed(Origin(), "Rest", (5, "Hold"), (6, "Rest"))


def test_a_long_one_is_shown_in_part() -> None:
    origin = Origin()
    followed(origin, "a")
    assert f"to {'b' * 59 + '…'!r}, " in followed(origin, "b" * 2000)


def test_one_that_turns_out_to_be_older_gives_way_to_what_came_after_it() -> None:
    origin = Origin()
    assert not followed(origin, "Insert", (3600, "Insert"))
    assert not followed(origin, "Hold", (5, "Insert"), (7, "Hold"))
    assert followed(origin, "Insert", (5, "Insert"), (7, "Hold"))
