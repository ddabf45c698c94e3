"""What the live view makes of the status: troubles and seams, looked at with a real browser."""

from __future__ import annotations

import math
from array import array

from harness import Listener, running
from live_page import Page
from live_view import ANY_AGE, chunk, needs_browser, opened, say

from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.msg import InferenceStatus

# What the page says is wrong, and where it is marked: by the stream whose mark it is.
TROUBLES = '[...document.querySelectorAll("#troubles li")].map(each => each.textContent)'
MARKED = """[...document.querySelectorAll(".trouble")].map(
  each => `${each.closest("section").id} ${each.dataset.stream}`)"""


@needs_browser
def test_troubles_are_told_and_mark_their_streams(
    listener: Listener, page: Page, port: int
) -> None:
    told = [
        "View3: nothing comes",
        "robot: packets overtake each other",
        "sensor: packets are missing",
        "sensor: the clock stepped",
        "camera: <img src=x onerror=alert(1)>",
        "action_expert: missed tick: 3",
        "camera_bridge does not report: has it stopped?",
    ]

    def seen() -> tuple[list[str], set[str]]:
        return page.evaluate(TROUBLES), set(page.evaluate(MARKED))

    with running("web_view", web_port=port, status_timeout=ANY_AGE) as node:
        opened(page, node, port)
        page.wait_for_value("state", "OK", lambda: say(listener))
        assert seen() == ([], set())
        listener.spin_until(lambda: page.evaluate(TROUBLES), lambda: say(listener, troubles=told))
        assert seen() == (
            told,
            {
                "views View3",
                "inputs View3",
                "inputs camera",
                "inputs robot",
                "inputs sensor",
                "numbers action_expert",
            },
        )
        words = {
            stream: page.evaluate(f'document.querySelector("[data-stream={stream}].trouble").title')
            for stream in ("sensor", "action_expert")
        }
        assert words == {
            "sensor": "packets are missing; the clock stepped",
            "action_expert": "missed tick: 3",
        }
        assert page.evaluate('document.querySelector("#View3 .told").innerText') == "nothing comes"
        assert page.value("state") == "OK"  # with a remark
        assert page.value("reason") == "action chunks from complete and recent data"

        held = {"state": InferenceStatus.HOLD, "reason": "View5: nothing for 0.6 s"}
        say(listener, **held, troubles=["View5: nothing comes", "vlm: skipped tick"])
        page.wait_for_value("state", "HOLD")
        assert seen() == (
            ["View5: nothing comes", "vlm: skipped tick"],
            {"views View5", "inputs View5", "numbers vlm"},
        )
        assert page.evaluate('document.querySelector("#View3 .told").innerText') == ""
        assert page.value("reason") == held["reason"]

        say(listener)
        page.wait_for_value("state", "OK")
        assert seen() == ([], set())
        assert page.complaints == []


@needs_browser
def test_troubles_of_before_are_not_told_as_those_of_now(
    listener: Listener, page: Page, port: int
) -> None:
    with running("web_view", web_port=port, status_timeout=1.0) as node:
        opened(page, node, port)
        listener.spin_until(
            lambda: page.evaluate(TROUBLES) == ["vlm: late"],
            lambda: say(listener, troubles=["vlm: late"]),
        )
        page.wait_for_value("state", "NO STATUS")
        assert page.evaluate(TROUBLES) == page.evaluate(MARKED) == []


@needs_browser
def test_the_seams_are_shown_by_the_actions_names(
    listener: Listener, page: Page, port: int
) -> None:
    shown = """[...document.querySelectorAll("#seams tbody tr:not([hidden])")].map(
      row => [...row.cells].map(cell => cell.textContent))"""
    none = [[name, "–", "–"] for name in ACTION_NAMES]
    jumps = [0.0125, 0.5, 0.0, 1.5, 2e-6, 123.456, 0.25]
    jerks = [12.5, 123456.7, 1.0, math.nan, 0.0, 999.4, 1e-7]
    seams = {f"seam_jump_{name}": jump for name, jump in zip(ACTION_NAMES, jumps, strict=True)}
    seams |= {f"seam_jerk_{name}": jerk for name, jerk in zip(ACTION_NAMES, jerks, strict=True)}
    texts = [
        ["0.0125", "12.5"],
        ["0.500", "123457"],
        ["0.00", "1.00"],
        ["1.50", "–"],
        ["0.00000200", "0.00"],
        ["123", "999"],
        ["0.250", "1.00e-7"],
    ]
    with running("web_view", web_port=port, status_timeout=ANY_AGE) as node:
        opened(page, node, port)
        page.wait_for_value("state", "OK", lambda: say(listener))
        assert page.evaluate(shown) == none
        say(listener, state=InferenceStatus.DEGRADED, **seams)
        page.wait_for_value("state", "DEGRADED")
        expected = [[name, *text] for name, text in zip(ACTION_NAMES, texts, strict=True)]
        assert page.evaluate(shown) == expected
        pose = chunk(1)
        pose.action_names = ["x", "y", "<b>z</b>", "alpha", "beta", "gamma", ""]
        listener.deliver(pose, "/vla/actions")
        page.wait_for_value("action 0", "0.5000")
        expected = [[name, *text] for name, text in zip(pose.action_names, texts, strict=True)]
        assert page.evaluate(shown) == expected
        pose.actions, pose.action_dim, pose.horizon = array("f", [4.0] * 6), 2, 3
        listener.deliver(pose, "/vla/actions")
        page.wait_for_value("action 0", "4.0000")
        assert page.evaluate(shown) == expected[:2]
        assert page.complaints == []
