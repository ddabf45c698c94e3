from __future__ import annotations

import pytest

from vla_inference_ros.core.views import ViewMap, ViewRule

RULES = [
    "View1=left+41182735",
    "View2=left+49429257",
    "View3=left+44377151",
    "View4=left+49045152",
    "View5=oak",
]


@pytest.mark.parametrize(
    ("camera", "view"),
    [
        ("zed_41182735_left", "View1"),
        ("ZED_41182735_left", "View1"),
        ("zed_49429257_left", "View2"),
        ("zed_44377151_left", "View3"),
        ("zed_49045152_left", "View4"),
        ("left-49045152", "View4"),
        ("oak_CAM_A", "View5"),
        ("OAK", "View5"),
        ("zed_41182735_right", None),
        ("zed_41182735", None),
        ("zed_99999999_left", None),
        ("left", None),
        ("", None),
        ("\ud800", None),
    ],
)
def test_the_rigs_cameras(camera: str, view: str | None) -> None:
    assert ViewMap(RULES).view_of(camera) == view


def test_the_rigs_views_are_in_order() -> None:
    assert ViewMap(RULES).views == ["View1", "View2", "View3", "View4", "View5"]


def test_the_first_rule_that_fits_wins_and_a_view_may_have_several() -> None:
    views = ViewMap(["View2=wrist", "View1=top", "View2=top+old"])
    assert views.views == ["View2", "View1"]
    assert views.view_of("top_wrist") == "View2"
    assert views.view_of("top_old") == "View1"


def test_a_rule_is_read_without_regard_to_case_and_spaces() -> None:
    rule = ViewRule.parse(" View1 = Left + 41182735 ")
    assert rule == ViewRule("View1", ("left", "41182735"))


def test_a_part_may_hold_an_equals_sign() -> None:
    assert ViewRule.parse("View1=cam=3").parts == ("cam=3",)


@pytest.mark.parametrize(
    "text", ["", "View1", "View1=", "=left", "View1=left+", "View1=+left", "="]
)
def test_a_rule_without_view_or_parts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form View1=part"):
        ViewMap([text])


def test_no_rules_are_no_views() -> None:
    assert ViewMap([]).views == []
    assert ViewMap([]).view_of("oak") is None
