"""What the live view costs the action loop: the jitter of the actions with the page and without.

The whole inference at full rate, by turns without the page and with ``web:=true`` and a client that
takes all of the page's news as a browser does. Printed for each run: the jitter beside that of a
bare real-time loop, which is the machine's own noise; with the page also what the client got. Then
the medians: exit status 1 if the 99th percentile of |period - 100 ms| is more than 1 ms higher with
the page than without, or if in any run the page did not keep up.

``--chromium`` adds runs with a real browser on this machine instead. What that costs is told, but
has no limit: on a rig the browser is on somebody's desk.

    .venv/bin/python bench/web_view.py [--seconds 60] [--pairs 3] [--chromium]
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import page_client
from full_rate import Run, action_rows, cost_rows, measure
from report import Row, show

from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.nodes.web_view import WebViewConfig

_MOST_COST = 1.0  # of the page, to the jitter's 99th percentile [ms]
_LEAST_SHARE = 0.9  # of the page's own rates
_LONGEST_LAG = 1.0  # of a chunk or picture; beyond it the page calls an input stale [s]
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_WITHOUT, _WITH, _BROWSED = "without the page", "with the page", "with a browser here"


def client_rows(run: Run, config: WebViewConfig) -> list[Row]:
    """What the client got of the page, and how fresh."""
    watched: page_client.Watched = run.reports["page"]
    messages = [each for each in watched.messages if run.began <= each.arrival <= run.ended]
    seconds = run.ended - run.began
    lags = [lag for each in messages for lag in each.lags]
    ages = [age for each in messages for age in each.ages.values()]
    ids = [each.chunk_id for each in messages]
    new = ids[-1] - ids[0] if ids else 0
    shown = sum(len(each.lags) for each in messages[1:])
    size = sum(each.size for each in messages)
    rates = {view: sum(view in each.ages for each in messages) / seconds for view in VIEWS}
    return [
        _rate_row("the page's news [1/s]", len(messages) / seconds, config.update_rate),
        Row("  of them [kB/s]", f"{size / seconds / 1e3:.0f}"),
        *(_rate_row(f"  pictures of {v} [1/s]", r, config.picture_rate) for v, r in rates.items()),
        _lag_row("chunk's stamp to the client, p50 / p99 [ms]", lags),
        _lag_row("picture's stamp to the client, p50 / p99 [ms]", ages),
        Row("action chunks on the page", f"{shown} of {new}", "all", shown == new > 0),
        Row("client's own CPU [cores]", f"{watched.cpu:.3f}"),
    ]


def browser_rows(run: Run) -> list[Row]:
    """What a browser on this machine cost, and whether it took the page's news throughout."""
    browsed: page_client.Browsed = run.reports["browser"]
    ends = np.interp([run.began, run.ended], browsed.times, browsed.cpu_seconds)
    cores = (ends[1] - ends[0]) / (run.ended - run.began)
    there = np.array(browsed.browsers)[run.is_inside(browsed.times)]
    always = bool(there.size and (there == 1).all())
    return [
        Row("browser got news", f"{(there == 1).sum()} of {there.size} looks", "all", always),
        Row("the browser's own CPU [cores]", f"{cores:.3f}"),
    ]


def verdict_rows(
    without: Sequence[Run], with_page: Sequence[Run], limit: float | None
) -> list[Row]:
    """Medians over the runs, each run's figure behind them; ``limit`` [ms] is of the difference."""
    before, after = ([run.jitter()[99] for run in runs] for runs in (without, with_page))
    cost = float(np.median(after) - np.median(before))
    rows = [
        Row("p99 |period - 100 ms| without [ms]", _median_of(before)),
        Row("p99 |period - 100 ms| with [ms]", _median_of(after)),
        Row(
            "difference [ms]",
            f"{cost:+.3f}",
            "" if limit is None else f"<= {limit:g}",
            None if limit is None else cost <= limit,
        ),
    ]
    for name, runs in (("without", without), ("with", with_page)):
        noises = [noise for run in runs if (noise := run.noise()) is not None]
        rows.append(
            Row(
                f"p99 of a bare realtime loop {name} [ms]",
                _median_of(noises) if noises else "not allowed here",
            )
        )
    cpu = [[sum(run.cpu.values()) for run in runs] for runs in (without, with_page)]
    return [
        *rows,
        Row("CPU of all our processes without [cores]", _median_of(cpu[0])),
        Row("CPU of all our processes with [cores]", _median_of(cpu[1])),
        Row("  of it web_view [cores]", _median_of([run.cpu["web_view"] for run in with_page])),
    ]


def _median_of(values: Sequence[float]) -> str:
    each = " ".join(f"{value:.3f}" for value in values)
    return f"{np.median(values):.3f} ({each})"


def _rate_row(name: str, rate: float, nominal: float) -> Row:
    least = _LEAST_SHARE * nominal
    return Row(name, f"{rate:.2f}", f">= {least:.2f}", rate >= least)


def _lag_row(name: str, lags: Sequence[float]) -> Row:
    limit = f"<= {_LONGEST_LAG * 1e3:.0f}"
    if not lags:
        return Row(name, "none came", limit, False)
    middle, high = np.percentile(lags, (50, 99))
    return Row(name, f"{middle * 1e3:.0f} / {high * 1e3:.0f}", limit, bool(high <= _LONGEST_LAG))


def _free_port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return int(reserved.getsockname()[1])


def _run(kind: str, seconds: float, log: Path, browser: str | None) -> Run:
    if kind == _WITHOUT:
        return measure(seconds, {}, log)
    port = _free_port()
    watcher: tuple[Any, ...] = (page_client.take_news, port)
    if kind == _BROWSED:
        watcher = (page_client.browse, browser, port)
    return measure(seconds, {"web": "true", "web_port": port}, log, watcher)


def _rows(kind: str, run: Run) -> list[Row]:
    rows = action_rows(run) + cost_rows(run, lambda node: node == "web_view")
    if kind == _WITH:
        rows += client_rows(run, WebViewConfig())
    return rows + (browser_rows(run) if kind == _BROWSED else [])


def main() -> int:
    """Measure by turns, print each run and then the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each run")
    parser.add_argument("--pairs", type=int, default=3, help="how often each kind of run is done")
    parser.add_argument(
        "--chromium", action="store_true", help="also with a real browser on this machine"
    )
    parser.add_argument(
        "--log", type=Path, default=Path("/tmp"), help="folder for the nodes' output"
    )
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if arguments.chromium and browser is None:
        parser.error("--chromium: there is no browser here; install chromium")
    os.environ.setdefault("ROS_DOMAIN_ID", "96")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    runs: dict[str, list[Run]] = {_WITHOUT: [], _WITH: []}
    if arguments.chromium:
        runs[_BROWSED] = []
    kept = True
    for number in range(1, arguments.pairs + 1):
        for kind, done in runs.items():
            log = arguments.log / f"web_view_{kind.replace(' ', '_')}_{number}.log"
            run = _run(kind, arguments.seconds, log, browser)
            done.append(run)
            kept &= show(f"{kind}, run {number} (output: {log})", _rows(kind, run))
    what = f"{arguments.pairs} runs each of {arguments.seconds:g} s, {os.cpu_count()} cores"
    rows = verdict_rows(runs[_WITHOUT], runs[_WITH], _MOST_COST)
    kept &= show(f"the page's cost, {what}", rows)
    if arguments.chromium:
        title = f"with a browser on this machine, whose cost is not the page's, {what}"
        show(title, verdict_rows(runs[_WITHOUT], runs[_BROWSED], None))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
