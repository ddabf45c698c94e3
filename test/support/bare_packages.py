"""A folder with some of this environment's packages and what they need, and no others."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def link_packages(folder: Path, *names: str) -> set[str]:
    """Link the packages called ``names`` into ``folder``; returns all that are in it then.

    Python with ``-S`` and this folder as its path is as good as an environment of only these.
    """
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = _canonical(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            if name in map(_canonical, names):
                raise
            continue  # of another platform or an extra
        waiting += [
            match.group()
            for requirement in found[name].requires or ()
            if "extra ==" not in requirement and (match := _NAME.match(requirement))
        ]
    for package in found.values():
        for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(package.locate_file(top))))
    return set(found)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
