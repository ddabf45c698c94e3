"""What is odd in a recording, and left out when it is read: counted by what it is of and by kind.

A recorder takes what is published, and not everything that somebody publishes makes sense. One such
thing must not keep all others from being read; nor may it go without a word. Everything that reads
recordings leaves out here what it cannot use, and tells of it in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from vla_inference_ros.core.jpeg import JpegError

Made = TypeVar("Made")


class RecordingError(ValueError):
    """A recording that cannot be read; the message says what is wrong and what can be done."""


class OddError(RecordingError):
    """One thing in a recording that cannot be used; ``kind`` is what it is counted under."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Odd:
    """What was left out of one recording. With ``strict``, nothing may be."""

    def __init__(self, strict: bool = False) -> None:
        self._strict = strict
        self._counts: dict[str, Counter[str]] = {}
        self._first: dict[tuple[str, str], str] = {}

    def reading(self, what: str) -> Leaving:
        """For one walk through all there is of ``what``, such as a topic. Of several walks, that
        which leaves out most counts.
        """
        return Leaving(self, what, self._strict)

    def note(self, what: str, counts: Counter[str], error: OddError) -> None:
        """Another thing was left out; ``counts`` is of the whole walk up to it."""
        self._first.setdefault((what, error.kind), str(error))
        known = self._counts.setdefault(what, Counter())
        known[error.kind] = max(known[error.kind], counts[error.kind])

    def count(self) -> int:
        """How many things were left out."""
        return sum(counts.total() for counts in self._counts.values())

    def lines(self) -> list[str]:
        """For people: what was left out and how much of it, with the first of each kind."""
        return [
            f"left out, since it is odd: {count} of {what}, {kind}: {self._first[what, kind]}"
            for what, counts in sorted(self._counts.items())
            for kind, count in sorted(counts.items())
        ]


class Leaving:
    """One walk through a recording's things."""

    def __init__(self, odd: Odd, what: str, strict: bool) -> None:
        self._odd, self._what, self._strict = odd, what, strict
        self._counts: Counter[str] = Counter()

    def out(self, error: OddError, count: int = 1) -> None:
        """Leave out so many of what ``error`` tells of; raises it if nothing may be left out."""
        if self._strict:
            raise error
        self._counts[error.kind] += count
        self._odd.note(self._what, self._counts, error)

    def made(self, where: str, make: Callable[..., Made], *given: object) -> Made | None:
        """What ``make`` makes; None if that is left out. ``where`` begins the sentence that tells
        why.
        """
        try:
            return make(*given)
        except OddError as error:
            self.out(error)
        except (ValueError, OverflowError) as error:
            self.out(OddError(kind_of(error), f"{where}: {error}"))
        return None


def kind_of(error: Exception) -> str:
    """A short name of what is wrong."""
    if isinstance(error, JpegError):
        return "bad JPEG"
    kind = getattr(error, "kind", None)
    return kind if isinstance(kind, str) else "does not fit"
