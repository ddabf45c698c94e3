"""The live view's node, on topics that the test publishes, looked at with a real browser."""

from __future__ import annotations

import itertools
import socket
import time
from array import array
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from harness import LATCHED, Listener, failed_start, running
from live_page import Page
from live_view import ANY_AGE, NOW, chunk, needs_browser, opened, say
from rcl_interfaces.msg import Log
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.model.interface import ACTION_NAMES, VIEWS
from vla_inference_ros.msg import InferenceStatus, SensorBatch, StreamReport
from vla_inference_ros.sim.jpeg_content import cut, emptied, zeroed

# How many pixels of a canvas have a colour of the page. Reads a copy: drawing goes on undisturbed.
INK = """(selector, name) => {
  const canvas = document.querySelector(selector);
  const {width, height} = canvas;
  const hex = getComputedStyle(canvas).getPropertyValue(`--${name}`).trim().slice(1);
  const wanted = [0, 2, 4].map(at => parseInt(hex.slice(at, at + 2), 16));
  const copy = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, width, height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] > 100 && wanted.every((part, i) => Math.abs(part - data[at + i]) < 8)) count++;
  return count;
}"""


def picture(stamp: float, colour: tuple[int, int, int]) -> CompressedImage:
    pixels = np.full((720, 1280, 3), colour, np.uint8)
    data = array("B", cv2.imencode(".jpg", pixels)[1].tobytes())
    return CompressedImage(header=header(stamp), format="jpeg", data=data)


def topic(view: str) -> str:
    return f"/camera/{view.lower()}/image_raw/compressed"


@needs_browser
def test_the_page_shows_what_the_topics_carry(listener: Listener, page: Page, port: int) -> None:
    with running("web_view", web_port=port, status_timeout=ANY_AGE) as node:
        opened(page, node, port)
        page.wait_for_value("state", "…")
        reason = "<img src=x onerror=alert(1)> features used 5 times"
        say(listener, state=InferenceStatus.DEGRADED, reason=reason)
        page.wait_for_value("state", "DEGRADED")
        shown = {
            "reason": reason,
            "vl_rate": "2.5 Hz",
            "action_rate": "10.0 Hz",
            "features_age": "0.38 s",
            "View3 received": "3000",
            "View3 age": "0.06 s",
            "joints": "joints 45.0° 0.0° 0.0° 0.0° 0.0° 0.0°",
            "tool": "tool 125.0, 0.0, 0.0 mm",
            "window": "60 of 65 samples",
            "vl_time p50": "381",
            "vl_time p95": "392",
            "vl_time p99": "500",
            "vl_time misses": "3",
            "tick_jitter p99": "0.25",
            "publish p50": "–",
            "rejected": "4",
        }
        assert {name: page.value(name) for name in shown} == shown
        background = 'getComputedStyle(document.querySelector("#verdict")).backgroundColor'
        assert page.evaluate(background) == "rgb(243, 183, 43)"
        assert page.evaluate("document.title") == "DEGRADED · VLA inference"

        listener.deliver(chunk(1, instruction="Say <i>ah</i>"), "/vla/actions")
        page.wait_for_value("action 6", "1.2500")
        assert page.value("instruction") == "“Say <i>ah</i>”"
        assert page.value("reuse") == "2 of 4"
        names = '[...document.querySelectorAll("#dimensions span")].map(e => e.firstChild.data)'
        assert page.evaluate(names) == list(ACTION_NAMES)
        listener.deliver(chunk(2, -3.0), "/vla/actions")
        page.wait_for_value("action 0", "-3.0000")

        report = StreamReport(
            node="camera_bridge",
            stream="View3",
            accepted=3000,
            rate=29.5,
            problem_kinds=["bad JPEG"],
            problem_counts=array("Q", [2]),
        )
        listener.deliver(report, "/vla/reports")
        page.wait_for_value("View3 rate", "29.5 Hz")
        assert page.value("View3 refused") == "bad JPEG: 2"

        for level, text in ((Log.INFO, "fine"), (Log.ERROR, "<script>alert(1)</script>")):
            line = Log(stamp=time_message(NOW), level=level, name="vlm", msg=text)
            listener.deliver(line, "/rosout", LATCHED)
        page.wait('document.querySelector("#log li.ERROR") !== null')
        newest = 'document.querySelector("#log li").innerText.split(/\\s+/).slice(1).join(" ")'
        assert page.evaluate(newest) == "ERROR vlm <script>alert(1)</script>"

        def feel() -> None:
            force = array("f", [0.25, 0.5, 0.375])
            batch = SensorBatch(header=header(time.time()), force=force)
            listener.deliver(batch, "/sensor/samples")

        page.wait_for_value("force", "0.375 N", feel)
        page.wait(f"({INK})('#force-plot', 'plot') > 20", feel)
        numbers = itertools.count(3)
        page.wait(
            f"({INK})('#dimensions canvas', 'plot') > 10",
            lambda: listener.deliver(chunk(next(numbers)), "/vla/actions"),
        )
        page.wait(f"({INK})('#dimensions canvas', 'ahead') > 50")
        page.wait_for_value("force", "s old")  # nothing new comes

        say(listener)
        page.wait_for_value("state", "OK")
        assert page.value("reason") == "action chunks from complete and recent data"
        assert page.complaints == []


@needs_browser
def test_pictures_are_shown_small_and_bad_ones_said_so(
    listener: Listener, page: Page, port: int
) -> None:
    with running("web_view", web_port=port, status_timeout=ANY_AGE) as node:
        opened(page, node, port)
        page.wait_for_value("View1 picture", "no picture yet")
        image = 'document.querySelector("#View1 img")'
        page.wait(
            f"{image}.naturalWidth === 320 && {image}.naturalHeight === 180",
            lambda: listener.deliver(picture(NOW, (0, 0, 250)), topic("View1")),
        )
        page.evaluate(
            f"""(() => {{
              const pen = document.createElement("canvas").getContext("2d");
              pen.drawImage({image}, 0, 0);
              window.seen = [...pen.getImageData(9, 9, 1, 1).data];
            }})()"""
        )
        red, green, blue, _ = page.evaluate("window.seen")
        assert (red > 240, green < 10, blue < 10) == (True, True, True)
        page.wait_for_value("View1 shown", "STALE")  # it is of 2023
        damaged = picture(NOW, (0, 0, 0))
        damaged.data = damaged.data[:300]
        page.wait_for_value(
            "View2 picture", "cut short", lambda: listener.deliver(damaged, topic("View2"))
        )
        whole = picture(NOW, (0, 250, 0)).data.tobytes()  # by its markers, so are these
        for view, spoil in (("View3", zeroed), ("View4", cut), ("View5", emptied)):
            spoilt = CompressedImage(header=header(NOW), data=array("B", spoil(whole)))
            send = partial(listener.deliver, spoilt, topic(view))
            page.wait_for_value(f"{view} picture", "the JPEG is damaged", send)
        assert page.evaluate('document.querySelector("#View2 img").hasAttribute("src")') is False
        assert page.complaints == []


@needs_browser
def test_without_a_status_the_page_says_so(listener: Listener, page: Page, port: int) -> None:
    with running("web_view", web_port=port, status_timeout=0.5) as node:
        opened(page, node, port)
        page.wait_for_value("state", "NO STATUS")
        assert page.value("reason").startswith("nothing from the monitor for ")
        page.wait_for_value("reason", "/vla/status has ")
        assert page.evaluate('document.body.classList.contains("stale")') is True
        page.wait_for_value("state", "OK", repeat=lambda: say(listener))
        assert page.evaluate('document.body.classList.contains("stale")') is False
        page.wait_for_value("state", "NO STATUS")
        assert page.complaints == []


@needs_browser
def test_a_restart_of_the_node_is_survived(listener: Listener, page: Page, port: int) -> None:
    with running("web_view", web_port=port, status_timeout=ANY_AGE) as node:
        opened(page, node, port)
        page.wait_for_value("state", "HOLD", lambda: say(listener, state=InferenceStatus.HOLD))
        listener.deliver(chunk(5), "/vla/actions")
        page.wait_for_value("action 0", "0.5000")
    page.wait_for_value("state", "NO CONNECTION")
    page.wait_for_value("reason", "does not answer: has it stopped?")
    listener.wait_until_alone()
    with running("web_view", web_port=port, status_timeout=ANY_AGE):
        page.wait_for_value("state", "WAIT", lambda: say(listener, state=InferenceStatus.WAIT))
        listener.deliver(chunk(6, 0.25), "/vla/actions")
        page.wait_for_value("action 0", "0.2500")


@needs_browser
def test_pictures_and_samples_are_heard_only_while_somebody_watches(
    listener: Listener, page: Page, port: int
) -> None:
    listener.wait_until_alone()
    publishers = [listener.publisher(CompressedImage, topic(view)) for view in VIEWS]
    publishers.append(listener.publisher(SensorBatch, "/sensor/samples"))

    def heard() -> set[int]:
        return {publisher.get_subscription_count() for publisher in publishers}

    page.open("about:blank")
    with running("web_view", web_port=port) as node:
        node.wait_until_said("the live view is at")
        listener.deliver(chunk(1), "/vla/actions")  # it is known, and has been for a while
        listener.spin_for(1.0)
        assert heard() == {0}
        page.open(f"http://127.0.0.1:{port}/")
        listener.spin_until(lambda: heard() == {1})
        page.open("about:blank")
        listener.spin_until(lambda: heard() == {0})
        page.open(f"http://127.0.0.1:{port}/")
        listener.spin_until(lambda: heard() == {1})


@needs_browser
def test_others_need_the_link_which_is_printed_once(
    listener: Listener, page: Page, port: int
) -> None:
    lines = listener.listen(Log, "/rosout", LATCHED)
    with running("web_view", web_port=port, web_host="0.0.0.0") as node:
        node.wait_until_said("?token=")
        (link,) = node.said("?token=")
        token = link.partition("?token=")[2]
        listener.spin_until(lambda: any("the live view is at" in line.msg for line in lines))
        assert not any(token in line.msg for line in lines)
        page.open(f"http://127.0.0.1:{port}/")
        page.wait('document.body?.innerText.startsWith("403")')
        page.open(f"http://127.0.0.1:{port}/?token={token}")
        page.wait_for_value("state", "")
        page.wait_for_value("connection", ":")
        assert page.evaluate("location.href") == f"http://127.0.0.1:{port}/"
        assert page.evaluate("document.cookie") == ""


def test_it_gives_way_to_all_others(port: int) -> None:
    with running("web_view", web_port=port) as node:
        node.wait_until_said("the live view is at")
        threads = list(Path(f"/proc/{node.process.pid}/task").iterdir())
        assert len(threads) > 3
        fields = [
            (each / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            for each in threads
        ]
        own = int(
            Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[16]
        )
        assert {int(each[16]) for each in fields} == {min(19, own + 10)}


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = failed_start("web_view", web_port=port)
    assert f"parameter 'web_port': port {port} of 127.0.0.1 cannot be had" in line
    assert "Address already in use; choose another" in line


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("web_port", 0, "parameter 'web_port'"),
        ("web_host", "", "parameter 'web_host' is empty"),
        (
            "web_host",
            "192.0.2.1",
            "parameter 'web_host': '192.0.2.1' is no address of this machine",
        ),
        ("web_host", "a" * 100, "parameter 'web_host'"),
        ("token", "short", "parameter 'token': a token needs 16 to 200 characters"),
        ("update_rate", 1000.0, "parameter 'update_rate'"),
        ("compressed_topics", ["/a", "/b"], "parameter 'compressed_topics' has 2 topics"),
    ],
)
def test_a_bad_parameter_is_told(name: str, value: Any, said: str) -> None:
    assert said in failed_start("web_view", **{name: value})
