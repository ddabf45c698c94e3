"""The page: HTML elements whose text is always escaped, and the frame around all of them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import TypeAlias
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from vla_inference_ros.report.text import plain

Piece: TypeAlias = "Element | str | int"

# Nothing is fetched, whatever the page holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_CSS = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c1f23; --soft: #5d6670;
  --line: #d7dce1; --tile: #f4f6f8; --grid: #9aa3ab; --good: #00785a; --warn: #a35f00;
  --bad: #c03a00 }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e4e7ea; --soft: #9aa4ae;
  --line: #333a42; --tile: #1e2329; --grid: #66707a; --good: #35c79c; --warn: #f0ac3c;
  --bad: #ff8354 } }
@media print { :root { color-scheme: light; --paper: #ffffff; --ink: #000000; --soft: #444444;
  --line: #bbbbbb; --tile: #ffffff; --grid: #999999; --good: #00604a; --warn: #804a00;
  --bad: #a03000 } }
body { margin: 0 auto; max-width: 1080px; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere }
h1 { font-size: 1.6rem; margin: 0 0 .8rem }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; padding-top: .5rem;
  border-top: 1px solid var(--line) }
p { margin: .4rem 0 .7rem; max-width: 75ch }
p.note { color: var(--soft); font-size: .9rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 0 }
dt { color: var(--soft) } dd { margin: 0 }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .6rem;
  margin: 1.2rem 0 }
.tile { background: var(--tile); border: 1px solid var(--line); border-radius: 6px;
  padding: .5rem .7rem }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums }
.tile span { color: var(--soft); font-size: .85rem }
.good { color: var(--good) } .warn { color: var(--warn) } .bad { color: var(--bad) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .88rem; margin: .5rem 0 1rem;
  overflow-wrap: break-word }
th, td { text-align: right; padding: .18rem .7rem; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; vertical-align: top }
th { font-weight: 600; color: var(--soft) }
td:not(.text) { white-space: nowrap }
th.text, td.text { text-align: left; font-variant-numeric: normal }
svg.plot { display: block; width: 100%; height: auto; margin: .4rem 0 }
svg.plot * { stroke-linejoin: round; stroke-linecap: butt }
svg.plot text { font-family: inherit !important }
.pictures td, .pictures th { text-align: center; padding: .2rem; border: 0 }
.pictures img { display: block; max-width: 100%; height: auto; margin: 0 auto }
.pictures { width: 100%; table-layout: fixed }
.pictures :is(th, td):first-child { width: 4.5rem; text-align: left; vertical-align: middle }
@media print { body { max-width: none; padding: 0; font-size: 10pt }
  table { font-size: 7.5pt } th, td { padding: .15rem .35rem }
  h2, p.note { break-after: avoid } p, svg.plot, tr, .tiles { break-inside: avoid } }
"""


def element(tag: str, *pieces: Piece, **attributes: str) -> Element:
    """An element with texts and elements in it; ``class_`` and ``data_value`` are the attributes
    class and data-value.
    """
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    made = Element(tag, names)
    last: Element | None = None
    for piece in pieces:
        if isinstance(piece, Element):
            made.append(piece)
            last = piece
        elif last is None:
            made.text = (made.text or "") + plain(str(piece))
        else:
            last.tail = (last.tail or "") + plain(str(piece))
    return made


def value(key: str, text: str | int, tag: str = "span", **attributes: str) -> Element:
    """A number that can be found by its key."""
    return element(tag, text, data_value=key, **attributes)


def section(title: str, *pieces: Element) -> Element:
    """A part of the page under a heading."""
    return element("section", element("h2", title), *pieces)


def note(*pieces: Piece) -> Element:
    """How to read something, or why it is not there."""
    return element("p", *pieces, class_="note")


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Piece]], *, texts: int = 1, name: str = ""
) -> Element:
    """A table of numbers, of whose columns the first ``texts`` hold text."""

    def cells(tag: str, row: Sequence[Piece]) -> Element:
        return element(
            "tr",
            *(
                element(tag, piece, **({"class_": "text"} if column < texts else {}))
                for column, piece in enumerate(row)
            ),
        )

    body = element("tbody", *(cells("td", row) for row in rows))
    made = element("table", element("thead", cells("th", headings)), body)
    if name:
        made.set("data-table", name)
    return element("div", made, class_="scroll")


def picture(jpeg: bytes, label: str) -> Element:
    """A JPEG within the page."""
    data = base64.b64encode(jpeg).decode()
    return element("img", src=f"data:image/jpeg;base64,{data}", alt=plain(label))


def document(title: str, *pieces: Element) -> bytes:
    """The whole page, in UTF-8."""
    head = element(
        "head",
        Element("meta", {"charset": "utf-8"}),
        Element("meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        Element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        Element("link", {"rel": "icon", "href": "data:,"}),
        element("title", title),
    )
    style = ElementTree.SubElement(head, "style")
    style.text = _CSS
    html = element("html", head, element("body", *pieces), lang="en")
    return b"<!DOCTYPE html>\n" + ElementTree.tostring(html, encoding="utf-8", method="html")
