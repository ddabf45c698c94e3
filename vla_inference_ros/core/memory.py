"""What is said when memory, or the address space that a process may have, is short."""

from __future__ import annotations

import resource


def limit_told() -> str:
    """A sentence about the limit on this process's address space; '' if there is none.

    Libraries that meet the limit end the process without a word that tells of it, or of memory.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return ""
    return (
        f"no process may have more than {limit / 1e6:.0f} MB of address space here: if one aborts "
        "or cannot start, raise the limit ('ulimit -v unlimited')"
    )


def out_of_memory(error: MemoryError) -> str:
    """What is said of one that is not caught where it arises."""
    return "; ".join(
        filter(None, ("out of memory: end other programs, or add some", str(error), limit_told()))
    )
