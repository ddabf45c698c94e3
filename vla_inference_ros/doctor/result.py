"""What a check says: how bad it is, one line of what was found, and one line of what to do."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vla_inference_ros.core.printable import printable

Value = bool | int | float | str
_NO_JSON = (math.inf, -math.inf)  # JSON has no such numbers
_INDENT = 9  # of a line's beginning, up to the check's name


class Status(enum.Enum):
    """PROBLEM: a run would not start, or give no chunk. WARNING: it works, with reservations."""

    OK = "OK"
    WARNING = "WARNING"
    PROBLEM = "PROBLEM"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One check's. ``finding`` says why where it was skipped; ``remedy`` is '' where there is
    nothing to do. ``values`` are what was measured, by name, in the unit that the name ends with.
    """

    check: str
    status: Status
    finding: str
    remedy: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)


def ok(check: str, finding: str, **values: Value) -> Result:
    """All is well."""
    return Result(check, Status.OK, finding, "", values)


def warning(check: str, finding: str, remedy: str, **values: Value) -> Result:
    """It works, with reservations."""
    return Result(check, Status.WARNING, finding, remedy, values)


def problem(check: str, finding: str, remedy: str, **values: Value) -> Result:
    """It does not start, or no chunk comes."""
    return Result(check, Status.PROBLEM, finding, remedy, values)


def skipped(check: str, why: str) -> Result:
    """There was nothing to check, or no way to."""
    return Result(check, Status.SKIPPED, why)


def count(results: Sequence[Result], status: Status) -> int:
    """How many results have a status."""
    return sum(result.status is status for result in results)


def as_text(results: Sequence[Result]) -> str:
    """For a person: a line a check, its remedy below it, and the sum in the end."""
    width = max((len(result.check) for result in results), default=0)
    lines = []
    for result in results:
        name = f"{result.status.value:{_INDENT}}{printable(result.check):{width}}  "
        lines.append(name + printable(result.finding))
        if result.remedy:
            lines.append(" " * (_INDENT + width) + "  -> " + printable(result.remedy))
    sums = (
        f"{count(results, Status.OK)} OK",
        _plural(count(results, Status.WARNING), "warning"),
        _plural(count(results, Status.PROBLEM), "problem"),
        f"{count(results, Status.SKIPPED)} skipped",
    )
    return "\n".join([*lines, ", ".join(sums)])


def as_json(results: Sequence[Result]) -> str:
    """For a machine."""
    content = {
        "problems": count(results, Status.PROBLEM),
        "warnings": count(results, Status.WARNING),
        "results": [
            {
                "check": result.check,
                "status": result.status.value,
                "finding": result.finding,
                "remedy": result.remedy,
                "values": {k: v for k, v in result.values.items() if v not in _NO_JSON},
            }
            for result in results
        ],
    }
    return json.dumps(content, indent=2)


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
