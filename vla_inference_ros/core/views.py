"""Which view a camera's pictures are: the map from the names that cameras send to View1..5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ViewRule:
    """A camera whose name contains all ``parts``, in any case, is ``view``."""

    view: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ViewRule:
        """From ``View1=41182735+left``: a view's name, then the parts. Raises ValueError."""
        view, separator, parts = text.partition("=")
        rule = cls(view.strip(), tuple(part.strip().lower() for part in parts.split("+")))
        if not separator or not rule.view or not all(rule.parts):
            raise ValueError(f"{text!r} is not of the form View1=part+part, such as View5=oak")
        return rule


class ViewMap:
    """The first rule that fits a name gives its view."""

    def __init__(self, rules: Sequence[str]) -> None:
        self._rules = [ViewRule.parse(rule) for rule in rules]

    @property
    def views(self) -> list[str]:
        """The views that a camera can be, each once, in the rules' order."""
        return list(dict.fromkeys(rule.view for rule in self._rules))

    def view_of(self, camera: str) -> str | None:
        """The view of a camera's name; None if no rule fits."""
        name = camera.lower()
        for rule in self._rules:
            if all(part in name for part in rule.parts):
                return rule.view
        return None
