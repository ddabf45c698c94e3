from __future__ import annotations

import pytest

from vla_inference_ros.core.console import ActionLine
from vla_inference_ros.core.printable import LONGEST, MOST, printable, printable_record, short, told

ACTS = [
    "\x1b[2J",
    "\x9b2J",
    "\r",
    "\n",
    "\x07",
    "\x85",
    "\u2028",
    "\u202e",
    "\u2066",
    "\ud800",
    "\0",
]


@pytest.mark.parametrize("text", ACTS, ids=ascii)
def test_what_acts_on_a_terminal_is_shown_instead(text: str) -> None:
    shown = printable(f"before{text}after")
    assert shown.isprintable()
    assert shown.encode().startswith(b"before\\")
    assert shown.endswith("after")
    assert printable_record(f"before{text}after") == shown


@pytest.mark.parametrize(
    "text", ["", "View1: nothing comes", "J1=-12.79°", "🔄 [VL Update #1]", "漢"]
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert printable(text) == printable_record(text) == text


def test_a_record_may_have_lines_of_its_own_but_no_text_can_begin_one() -> None:
    assert printable_record("saved\n  3 frames\n  2 robot") == "saved\n  3 frames\n  2 robot"
    assert printable_record("a\n[INFO] [monitor]: OK\n") == r"a\n[INFO] [monitor]: OK\n"
    assert printable_record("a\n  \x1b[2J\n b") == "a\n  \\x1b[2J\\n b"


def test_a_list_is_not_longer_than_can_be_read() -> None:
    shown = told(["\x1b" + "x" * 100_000, *map(str, range(3000))])
    assert len(shown) == MOST + 1
    assert shown[0] == r"\x1b" + "x" * (LONGEST - 1)
    assert shown[-1] == f"and {3001 - MOST} more"
    assert told(["a", "b"]) == ["a", "b"]


def test_a_reason_cannot_forge_a_console_line() -> None:
    line = ActionLine(
        1, 1, 4, [0.0] * 7, 0.02, 65, 65, reasons=["x\n[ACTION #2] VL_reuse=1/4\x1b[A"]
    )
    assert str(line).isprintable()
    assert str(line).endswith(r"| DEGRADED: x\n[ACTION #2] VL_reuse=1/4\x1b[A")


def test_a_short_name_stays_as_it_is_and_a_long_one_is_still_another_for_each() -> None:
    assert short("zed_41182735_left") == "zed_41182735_left"
    assert short("x" * 60) == "x" * 60
    long = [f"{'x' * 58}{middle}{'y' * 40}" for middle in ("1", "2", "", "\ud800")]
    names = [*long, "x" * 61, "x" * 62, f"{'x' * 60}1", f"{'x' * 60}2", *map(short, long)]
    assert len({short(name) for name in names}) == len(names)
    assert all(len(short(name)) < 70 for name in names)
    assert short(f"usb_{'x' * 100}_left").startswith("usb_")
    assert "_left (" in short(f"usb_{'x' * 100}_left")
