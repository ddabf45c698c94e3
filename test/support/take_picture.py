"""Takes the documentation's picture of the live view, of a run that goes on:

python test/support/take_picture.py http://127.0.0.1:8088/ docs/web_view.png
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from browser import browser
from live_page import live_page
from PIL import Image

WIDTH, HEIGHT = 1600, 1240
_RUN = 50.0  # that the plots show [s]
_COLOURS = 256


def take_picture(command: str, address: str, file: Path) -> None:
    """Wait until the plots are full and all is well, and write a small PNG."""
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
        time.sleep(_RUN)
        page.wait_for_value("state", "OK")
        page.screenshot(file)
    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(_COLOURS)
    small.save(file, optimize=True)


if __name__ == "__main__":
    found = browser()
    if found is None:
        sys.exit("there is no browser: install chromium")
    take_picture(found, sys.argv[1], Path(sys.argv[2]))
