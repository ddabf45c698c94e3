"""A real browser, without a window: what it makes of a page, and what it complains of."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT = 120.0  # [s]

# Looks at the page in a frame, so that the page itself is shown as it is.
_LOOK = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,">
<iframe src="/page.html" style="width: 1200px; height: 900px"></iframe><pre></pre>
<script>
addEventListener("load", () => {
  const view = document.querySelector("iframe").contentDocument;
  const box = element => {
    const {width, height} = element.getBoundingClientRect();
    const style = view.defaultView.getComputedStyle(element);
    return {width, height, shown: style.visibility === "visible" && style.opacity > 0};
  };
  const all = (selector, look) => [...view.querySelectorAll(selector)].map(look);
  const {scrollWidth, clientWidth} = view.documentElement;
  const style = view.defaultView.getComputedStyle(view.body);
  document.querySelector("pre").textContent = JSON.stringify({
    plots: all("svg.plot", plot => ({
      ...box(plot),
      id: plot.id,
      lines: [...plot.querySelectorAll("path")].filter(path => {
        const {width, height} = path.getBBox();
        return width + height > 0;
      }).length,
      outside: [...plot.querySelectorAll("text")].filter(text => {
        const inner = text.getBoundingClientRect(), outer = plot.getBoundingClientRect();
        return inner.left < outer.left - 1 || inner.right > outer.right + 1
          || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
      }).map(text => text.textContent),
    })),
    pictures: all("img", picture => ({...box(picture), loaded: picture.naturalWidth > 0})),
    headings: all("h1, h2", heading => ({...box(heading), text: heading.innerText})),
    values: Object.fromEntries(all("[data-value]", each => [each.dataset.value, each.innerText])),
    rows: all("table:not(.pictures) tr", box),
    too_wide: scrollWidth > clientWidth,
    ink: style.color,
    paper: style.backgroundColor,
  });
});
</script>"""


@dataclass(frozen=True, slots=True)
class Sight:
    """``seen`` is what there is on the page, ``complaints`` the console's lines, ``asked`` the
    paths that the browser asked for.
    """

    seen: dict[str, Any]
    complaints: list[str]
    asked: list[str]


def browser() -> str | None:
    """The command of one that is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def look_at(command: str, page: bytes, profile: Path, *options: str) -> Sight:
    """Show a page; ``profile`` is an empty folder for the browser's files."""
    pages = {"/look.html": _LOOK.encode(), "/page.html": page}
    with _served(pages) as (address, asked):
        shown = subprocess.run(
            [
                command,
                *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
                *(
                    "--disable-background-networking",
                    "--no-first-run",
                    f"--user-data-dir={profile}",
                ),
                *options,
                "--dump-dom",
                f"{address}/look.html",
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
    found = re.search(r"<pre>(.*?)</pre>", shown.stdout, re.S)
    assert found is not None
    assert found.group(1), shown.stderr
    complaints = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    return Sight(json.loads(html.unescape(found.group(1))), complaints, asked)


class _Handler(BaseHTTPRequestHandler):
    def __init__(
        self, pages: dict[str, bytes], asked: list[str], *given: Any, **named: Any
    ) -> None:
        self._pages, self._asked = pages, asked
        super().__init__(*given, **named)

    def do_GET(self) -> None:
        self._asked.append(self.path)
        page = self._pages.get(self.path)
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, *_: Any) -> None:
        """Nowhere."""


@contextmanager
def _served(pages: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, pages, asked)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
