"""The page as a browser shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import NAMES, Sight, browser, look_at
from html_page import Page
from planted import VIEWS

PICTURES = 6 * len(VIEWS)


@pytest.fixture(scope="module")
def command() -> str:
    found = browser()
    if found is None:
        # A page can only be seen by one; CI installs Chromium.
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    return found


@pytest.fixture(scope="module")
def sight(command: str, raw_page: bytes, tmp_path_factory: pytest.TempPathFactory) -> Sight:
    return look_at(command, raw_page, tmp_path_factory.mktemp("profile"))


def test_no_complaints(sight: Sight) -> None:
    assert sight.complaints == []


def test_nothing_else_is_asked_for(sight: Sight) -> None:
    assert sorted(sight.asked) == ["/look.html", "/page.html"]


def test_every_plot_is_drawn(sight: Sight, page: Page) -> None:
    plots = sight.seen["plots"]
    assert [plot["id"] for plot in plots] == [each for each in page.ids if each[:5] == "plot-"]
    for plot in plots:
        assert plot["width"] > 900, plot
        assert plot["height"] > 50, plot
        assert plot["lines"] > 10, plot
        assert plot["outside"] == [], plot


def test_every_picture_is_shown(sight: Sight) -> None:
    pictures = sight.seen["pictures"]
    assert len(pictures) == PICTURES
    for picture in pictures:
        assert picture["loaded"]
        assert picture["width"] > 40
        assert picture["height"] > 20


def test_headings_are_seen(sight: Sight, page: Page) -> None:
    headings = sight.seen["headings"]
    assert [heading["text"] for heading in headings] == page.headings
    for heading in headings:
        assert heading["shown"]
        assert heading["height"] > 10


def test_values_read_as_they_were_computed(sight: Sight, page: Page) -> None:
    assert len(sight.seen["values"]) >= 12
    assert sight.seen["values"] == page.values


def test_it_fits_the_width_of_a_laptop(sight: Sight) -> None:
    assert not sight.seen["too_wide"]


def test_rows_of_tables_are_one_or_two_lines(sight: Sight) -> None:
    rows = sight.seen["rows"]
    assert len(rows) > 30
    assert max(row["height"] for row in rows) < 60


def test_dark(command: str, raw_page: bytes, sight: Sight, tmp_path: Path) -> None:
    dark = look_at(command, raw_page, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert sum(_rgb(dark.seen["paper"])) < 150 < 600 < sum(_rgb(dark.seen["ink"]))
    assert sum(_rgb(sight.seen["ink"])) < 150 < 600 < sum(_rgb(sight.seen["paper"]))


def test_a_bad_page_is_noticed(command: str, tmp_path: Path) -> None:
    """By the looking itself: without this the tests above could pass on anything."""
    bad = (
        b"<!DOCTYPE html><body style='width: 3000px'><h1 style='visibility: hidden'>h</h1>"
        b"<svg class='plot' id='p'></svg><img src='data:image/jpeg;base64,AAAA'>"
        b"<img src='/missing.jpg'><script>nonsense()</script>"
    )
    sight = look_at(command, bad, tmp_path)
    assert any("nonsense" in complaint for complaint in sight.complaints)
    assert "/missing.jpg" in sight.asked
    assert sight.seen["too_wide"]
    assert not sight.seen["headings"][0]["shown"]
    assert sight.seen["plots"][0]["lines"] == 0
    assert not any(picture["loaded"] for picture in sight.seen["pictures"])


def _rgb(colour: str) -> list[int]:
    """Of ``rgb(1, 2, 3)``."""
    return [int(part) for part in colour.strip("rgb()").split(",")]
