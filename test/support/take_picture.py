"""Takes the documentation's pictures of the live view, of a run that goes on. In one terminal:

    export ROS_DOMAIN_ID=90 ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
    .venv/bin/vla-launch async.launch.py model:=tiny sim:=true faults:=true web:=true

In another one, of a run where all is well, and of one whose third camera has stopped:

    export ROS_DOMAIN_ID=90 ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
    .venv/bin/python test/support/take_picture.py http://127.0.0.1:8088/ docs/web_view.png
    .venv/bin/python test/support/take_picture.py http://127.0.0.1:8088/ docs/web_view_hold.png \\
        --faults camera_only=44377151_left camera_loss=1.0 --state HOLD --wait 3

``--faults`` sets parameters of the fault injector once the plots are full, and sets them back when
the picture has been taken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rclpy
from browser import browser
from harness import Listener
from live_page import live_page
from PIL import Image
from rcl_interfaces.msg import Parameter
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import get_parameter_value

WIDTH, HEIGHT = 1600, 1240
_RUN = 50.0  # that the plots show [s]
_COLOURS = 256


def take_picture(
    command: str,
    address: str,
    file: Path,
    *,
    state: str = "OK",
    run: float = _RUN,
    wait: float = 0.0,
    faults: Sequence[str] = (),
) -> None:
    """Write a small PNG of the page in a state.

    Waits for OK, then until the plots show ``run`` seconds, then does the ``faults`` (as in
    ``camera_loss=1.0``), and waits for the state and ``wait`` seconds more, which it must last.
    """
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with folder as profile, live_page(command, Path(profile)) as page:
        dark = {"name": "prefers-color-scheme", "value": "dark"}
        page.command("Emulation.setEmulatedMedia", features=[dark])
        page.command(
            "Emulation.setDeviceMetricsOverride",
            **{"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False},
        )
        page.open(address)
        page.wait_for_value("state", "OK")
        time.sleep(run)
        with faulty(faults):
            page.wait_for_value("state", state)
            time.sleep(wait)
            page.wait_for_value("state", state)
            page.screenshot(file)
    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(_COLOURS)
    small.save(file, optimize=True)


@contextmanager
def faulty(faults: Sequence[str]) -> Iterator[None]:
    """Set the fault injector's parameters, and set them back in the end."""
    if not faults:
        yield
        return
    given = dict(fault.split("=", 1) for fault in faults)
    rclpy.init()
    listener = Listener()
    try:
        names = GetParameters.Request(names=list(given))
        before = listener.call(GetParameters, "/fault_injector/get_parameters", names).values
        _set(listener, [Parameter(name=n, value=get_parameter_value(v)) for n, v in given.items()])
        yield
        _set(listener, [Parameter(name=n, value=v) for n, v in zip(given, before, strict=True)])
    finally:
        listener.close()
        rclpy.shutdown()


def _set(listener: Listener, parameters: list[Parameter]) -> None:
    request = SetParameters.Request(parameters=parameters)
    answer = listener.call(SetParameters, "/fault_injector/set_parameters", request)
    refused = [result.reason for result in answer.results if not result.successful]
    if refused:
        raise SystemExit(f"the fault injector refuses: {'; '.join(refused)}")


def main() -> None:
    """Take one picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the live view")
    parser.add_argument("file", type=Path, help="the PNG to write")
    parser.add_argument("--state", default="OK", help="that the page must show, such as HOLD")
    parser.add_argument("--run", type=float, default=_RUN, help="how long to let all be well [s]")
    parser.add_argument("--wait", type=float, default=0.0, help="in that state [s]")
    parser.add_argument("--faults", nargs="+", default=[], metavar="NAME=VALUE")
    arguments = vars(parser.parse_args())
    command = browser()
    if command is None:
        sys.exit("there is no browser: install chromium")
    take_picture(command, **arguments)


if __name__ == "__main__":
    main()
