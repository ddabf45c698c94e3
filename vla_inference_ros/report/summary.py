"""The head of the page: what was recorded, and the numbers that a person looks for first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from vla_inference_ros.core.validity import AgeBudget, Budgets
from vla_inference_ros.report.analysis import SENSOR, Analysis, mean_rate
from vla_inference_ros.report.chunks import Chunks
from vla_inference_ros.report.content import Content
from vla_inference_ros.report.page import Piece, element, note, section, table, value
from vla_inference_ros.report.reduce import Distribution
from vla_inference_ros.report.text import duration, milliseconds, number

_NOT_SAID = "not recorded"
_MOST_NAMED = 5  # different texts that are shown of one kind
_MOST_FILES = 30


def facts(content: Content, analysis: Analysis) -> Element:
    """What was recorded, when, with what."""
    said = content.chunks.said if content.chunks else {}
    rows: list[tuple[str, Piece]] = [
        ("recording", str(content.path)),
        ("start", value("start", _local_time(analysis.start))),
        ("duration", value("duration", duration(analysis.end - analysis.start))),
        ("instruction", _named(said.get("instruction", {}), "chunks")),
        ("VLM", _named(said.get("features_model_id", {}), "chunks")),
        ("action expert", _named(said.get("model_id", {}), "chunks")),
        ("cameras", _cameras(content)),
    ]
    pieces = []
    for what, told in rows:
        pieces += [element("dt", what), element("dd", told)]
    return element("dl", *pieces)


def tiles(content: Content, analysis: Analysis) -> Element:
    """The verdict in numbers."""
    chunks = content.chunks
    made = _chunk_tiles(chunks, analysis) if chunks else [_tile("chunks", "0", "action chunks")]
    if len(analysis.update_times):
        rate = number(mean_rate(analysis.update_times))
        made.append(_tile("updates.rate", rate, f"VLM updates/s ({len(analysis.update_times)})"))
    for name, rhythm in analysis.rhythms.items():
        if name == SENSOR:
            share = rhythm.missing / rhythm.expected
            text = f"of {rhythm.expected:,} sensor samples missing ({share:.2%})"
            made.append(_tile("sensor.missing", f"{rhythm.missing:,}", text, rhythm.missing == 0))
    others = [name for name in analysis.rhythms if name != SENSOR]
    if others:
        missing = sum(analysis.rhythms[name].missing for name in others)
        text = "pictures and robot states missing"
        made.append(_tile("others.missing", f"{missing:,}", text, missing == 0))
    if chunks:
        made += _age_tiles(chunks)
    return element("div", *made, class_="tiles")


def files(path: Path) -> Element:
    """The recording's files, a folder's summed up."""
    rows: list[tuple[str, str, str]] = []
    for entry in sorted(path.iterdir()) if path.is_dir() else [path]:
        inside = (
            [file for file in entry.rglob("*") if file.is_file()] if entry.is_dir() else [entry]
        )
        size = sum(file.stat().st_size for file in inside)
        name = f"{entry.name}/" if entry.is_dir() else entry.name
        rows.append((name, f"{len(inside):,}", number(size / 1e6)))
    more = len(rows) - _MOST_FILES
    shown = table(("file or folder", "files", "MB"), rows[:_MOST_FILES], name="files")
    return section("Files", shown, *([note(f"and {more} more")] if more > 0 else []))


def _chunk_tiles(chunks: Chunks, analysis: Analysis) -> list[Element]:
    count = len(chunks.rows)
    made = [_tile("chunks", f"{count:,}", "action chunks")]
    unjudged = count - chunks.ok - chunks.degraded
    if unjudged < count:
        made.append(_tile("chunks.ok", f"{chunks.ok:,}", "OK", True))
        degraded = chunks.degraded
        made.append(_tile("chunks.degraded", f"{degraded:,}", "DEGRADED", degraded == 0))
    if unjudged:
        made.append(_tile("chunks.unjudged", f"{unjudged:,}", "without a verdict"))
    held = sum(gap.length for gap in analysis.gaps)
    text = f"gaps without chunks, {duration(held)} in all"
    made.append(_tile("gaps", str(len(analysis.gaps)), text, not analysis.gaps, bad=True))
    rate = number(mean_rate(chunks.rows["stamp"]))
    nominal = number(1.0 / chunks.period) if chunks.period > 0 else "–"
    made.append(_tile("chunks.rate", rate, f"chunks/s (nominal {nominal})"))
    if analysis.seams is not None and len(analysis.seams.stamps):
        most = number(Distribution.of(analysis.seams.largest).most, 3)
        made.append(_tile("seams.largest", most, "largest jump between chunks"))
        hardest = number(Distribution.of(analysis.seams.jerk).most)
        made.append(_tile("seams.jerk", hardest, "1/s³, largest jerk between chunks"))
    return made


def _age_tiles(chunks: Chunks) -> list[Element]:
    made = []
    budgets = Budgets()
    for what, ages, budget in (
        ("features", chunks.rows["features_age"], budgets.features),
        ("sensor", chunks.rows["sensor_age"], budgets.sensor),
        ("robot", chunks.rows["robot_age"], budgets.robot),
    ):
        worst = Distribution.of(ages).most
        text = f"ms, worst {what} age at a chunk"
        made.append(
            _tile(
                f"{what}.age",
                milliseconds(worst),
                text,
                worst <= budget.soft if np.isfinite(worst) else None,
                bad=_is_over(worst, budget),
            )
        )
    return made


def _is_over(age: float, budget: AgeBudget) -> bool:
    return age > budget.hard


def _tile(
    key: str, amount: str, text: str, good: bool | None = None, *, bad: bool = False
) -> Element:
    """``good`` is None for a number that is neither good nor bad; else it is one to be warned of,
    or ``bad``.
    """
    tone = "" if good is None else "good" if good else "bad" if bad else "warn"
    return element(
        "div", value(key, amount, "b", class_=tone), element("span", text), class_="tile"
    )


def _local_time(time: float) -> str:
    return datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def _named(found: Counter[str] | dict[str, int], of_what: str) -> str:
    """The different texts, most frequent first, with how many had each if there are several."""
    ordered = Counter(found).most_common()
    if not ordered:
        return _NOT_SAID
    if len(ordered) == 1:
        return ordered[0][0]
    shown = [f"{text} ({count} {of_what})" for text, count in ordered[:_MOST_NAMED]]
    more = len(ordered) - len(shown)
    return "; ".join(shown + ([f"and {more} more"] if more else []))


def _cameras(content: Content) -> str:
    def names(view: str) -> str:
        return ", ".join(_first(name for name, _ in content.cameras[view].most_common()))

    views = [f"{view} is {names(view)}" for view in content.views]
    return "; ".join(_first(views)) or _NOT_SAID


def _first(texts: Iterable[str], most: int = 16) -> list[str]:
    return list(texts)[:most]
