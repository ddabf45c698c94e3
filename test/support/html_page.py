"""Reads a page as a parser does, and refuses one whose elements do not close as they opened."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """``values`` by their data-value, ``tables`` (rows of cells) by their data-table, ``headings``,
    ``notes``, all ``attributes`` as (tag, name, value), all ``tags``, ``ids``, and the ``text``.
    """

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.headings: list[str] = []
        self.notes: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self._open: list[tuple[str, dict[str, str], str]] = []
        self._table: list[list[str]] = []
        self.feed(page.decode())
        self.close()
        assert not self._open, f"not closed: {[tag for tag, _, _ in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in given.items()]
        self.ids += [given["id"]] if "id" in given else []
        if tag == "table":
            self._table = self.tables.setdefault(given.get("data-table", ""), [])
        if tag == "tr":
            self._table.append([])
        if tag not in _VOID:
            self._open.append((tag, given, ""))

    def handle_data(self, data: str) -> None:
        self.text += data
        self._open[:] = [(tag, given, text + data) for tag, given, text in self._open]

    def handle_endtag(self, tag: str) -> None:
        opened, given, text = self._open.pop()
        assert opened == tag, f"<{opened}> ends with </{tag}>"
        if "data-value" in given:
            self.values[given["data-value"]] = text
        if tag in ("th", "td"):
            self._table[-1].append(text)
        if tag in ("h1", "h2"):
            self.headings.append(text)
        if given.get("class") == "note":
            self.notes.append(text)
