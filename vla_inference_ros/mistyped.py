"""Names that are not known: what may be meant, and whether a name is for us at all.

Under ``ros2 launch`` a launch file also sees what the one that includes it was given.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_NEAR = 0.7  # how alike a name must be to be meant, of 1
# Of launch itself, which any of its command lines may set.
_OF_LAUNCH = ("launch-prefix", "launch-prefix-filter", "sigterm_timeout", "sigkill_timeout")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like this one, or alone begins with it; '' if none is."""
    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=_NEAR)
    longer = [each for each in lower if name and each.startswith(name.lower())]
    found = found or (longer if len(longer) == 1 else [])
    return lower[found[0]] if found else ""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """That a name is not known, which may be meant, and which there are."""
    names = sorted(known)
    meant = nearest(name, names)
    told = f"unknown {what} {name!r}"
    known_are = f"known are {', '.join(names)}"
    return f"{told}: is {meant} meant? ({known_are})" if meant else f"{told}; {known_are}"


def is_run_itself(command: Sequence[str], package: str, file: Path) -> bool:
    """Whether a command line of ``ros2 launch`` names this launch file, by its path or as one of
    its package: then no other includes it.
    """
    for before, word in zip(("", *command), command, strict=False):
        if before == package and word == file.name:
            return True
        if word.endswith(file.name) and Path(word).exists() and Path(word).samefile(file):
            return True
    return False


def strange(given: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """The names that are neither known nor launch's own."""
    return [name for name in given if name not in {*known, *_OF_LAUNCH}]
