"""Makes a plot part of the page: an SVG whose text is text and whose ink is the page's."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

WIDTH = 11.0  # of every plot [inches of 72 units]
COLUMNS = 800  # that a line across a whole plot is drawn with, about a pixel each

_INK, _GRID = "#010203", "#a0a1a2"  # stand for what the page's colours are
_PAGE_COLOURS = {_INK: "currentColor", _GRID: "var(--grid)"}
_STYLE: Any = {  # of matplotlib
    "svg.fonttype": "none",
    "svg.hashsalt": "report",  # the same recording gives the same page
    "text.parse_math": False,  # names may hold a $
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _GRID,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.5,
    "lines.linewidth": 0.9,
    "legend.frameon": False,
    "axes.formatter.useoffset": False,
    "agg.path.chunksize": 0,
}
_DIGITS = re.compile(r"(\d+\.\d)\d+")
_REFERENCE = re.compile(r"url\(#|^#")
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"


def plot(
    name: str, label: str, height: float, draw: Callable[[Figure], None]
) -> ElementTree.Element:
    """The SVG element of what ``draw`` draws on a figure of ``height`` [inches]. ``name`` is like
    no other plot's on the page, ``label`` says what it shows.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height))
        draw(figure)
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True)
    svg = ElementTree.fromstring(file.getvalue())
    for element in svg.iter():
        _tidy(element, name)
    for parent in list(svg.iter()):
        for child in [child for child in parent if _is_needless(child)]:
            parent.remove(child)
    for attribute in ("width", "height", "version"):
        svg.attrib.pop(attribute, None)
    svg.attrib.update({"class": "plot", "id": f"plot-{name}", "role": "img", "aria-label": label})
    return svg


def _tidy(element: ElementTree.Element, name: str) -> None:
    """As HTML has it: no namespaces, ids that no other plot has, the page's colours, and tenths of
    a unit, which is less than a pixel.
    """
    element.tag = element.tag.removeprefix(_SVG)
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        key = key.removeprefix(_XLINK)
        if key == "id":
            value = f"{name}-{value}"
        elif key in ("href", "clip-path", "style"):
            value = _REFERENCE.sub(lambda found: f"{found.group()}{name}-", value)
        if key == "d":
            value = _DIGITS.sub(r"\1", " ".join(value.split()))
        for colour, by_page in _PAGE_COLOURS.items():
            value = value.replace(colour, by_page)
        element.set(key, value)
    for attribute in ("text", "tail"):
        if not (getattr(element, attribute) or "").strip():
            setattr(element, attribute, None)


def _is_needless(element: ElementTree.Element) -> bool:
    """Metadata; and a style for the whole page."""
    return element.tag in ("metadata", "style") or element.tag.startswith("{")
