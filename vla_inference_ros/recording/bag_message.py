"""What a bag's files give, whichever kind they are: serialized messages and their topics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

# Of what, how many were lost, and where and why.
TellLost = Callable[[str, int, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class RawMessage:
    """A message as it stands in a bag: ``data`` is CDR; ``stamp_ns`` is its log time [Unix ns]."""

    topic: str
    type: str
    stamp_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's type, and as far as the bag tells its hash and its definition (``ros2msg``)."""

    type: str
    type_hash: str = ""
    definition: str = ""


class BagFiles(Protocol):
    """A bag's files, together."""

    topics: dict[str, Topic]
    complete: bool  # none is without its end

    def raw(self, topics: Collection[str], tell: TellLost) -> Iterator[RawMessage]:
        """The messages of some topics, oldest first; ``tell`` is told what is lost of them."""
