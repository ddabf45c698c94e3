"""Real-time priority and CPU affinity of this process's threads, where the system allows them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

# Held by whoever has a library start threads that end the process if they find their priority
# changed meanwhile, and by whoever changes that of threads that are not its own.
starting_threads = threading.Lock()

_REMEDY = "Allow it with a line '<user> - rtprio 99' in /etc/security/limits.conf, or set it to 0"


def parse_cpus(text: str) -> set[int]:
    """CPU numbers from a list as taskset writes it, such as ``0,2-3``; ValueError if it is none."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, separator, last = part.partition("-")
        try:
            low = int(first)
            high = int(last) if separator else low
        except ValueError:
            raise ValueError(f"{text!r} is not a list of CPUs such as 0,2-3") from None
        if not 0 <= low <= high < 4096:
            raise ValueError(f"{text!r} is not a list of CPUs such as 0,2-3: {part!r}")
        cpus.update(range(low, high + 1))
    return cpus


def pin_process(text: str) -> str:
    """Keep all threads on the CPUs of the list ``text``; what went wrong, or ''."""
    cpus = parse_cpus(text)
    try:
        for thread in threads():
            with contextlib.suppress(ProcessLookupError):  # it has ended since it was listed
                os.sched_setaffinity(thread, cpus)
    except OSError as error:
        return (
            f"parameter 'cpu_affinity' is {text!r}, which the system refuses: {error}. "
            f"This process may use {_ranges(os.sched_getaffinity(0))}"
        )
    found = os.sched_getaffinity(0)
    if found != cpus:  # the kernel passes over those that it has not, without a word
        return (
            f"parameter 'cpu_affinity' is {text!r}, of which this process may use only "
            f"{_ranges(found)}"
        )
    return ""


def raise_priority(priority: int, of: Iterable[int] = (0,)) -> str:
    """Real-time priority (SCHED_FIFO) for threads, by default the calling one; what went wrong,
    or ''. Threads that they start later are ordinary ones again.
    """
    try:
        for thread in of:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.sched_setscheduler(
                    thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority)
                )
    except OSError as error:
        return (
            f"parameter 'realtime_priority' is {priority}, which the system refuses: {error}. "
            f"Ticks come some milliseconds late while the machine is busy. {_REMEDY}"
        )
    return ""


def threads() -> list[int]:
    """The ids of this process's threads."""
    return [int(entry.name) for entry in Path("/proc/self/task").iterdir()]


def thread_names(of: Iterable[int]) -> set[str]:
    """What threads of this process call themselves, to the kernel's 15 characters."""
    names = set()
    for thread in of:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            names.add(
                Path(f"/proc/self/task/{thread}/comm").read_text(encoding="utf-8").rstrip("\n")
            )
    return names


def _ranges(cpus: set[int]) -> str:
    return "CPU " + ", ".join(map(str, sorted(cpus)))
