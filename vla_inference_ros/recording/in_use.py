"""Whether a recording is still being written: who fills a folder locks it until his process ends.

Some network file systems know no locks; there nobody is kept from anything.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class InUseError(ValueError):
    """A recording that is still being written; the message says which."""


def lock(folder: Path) -> int:
    """A descriptor that holds the lock until it is closed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def check_ended(folder: Path) -> None:
    """InUseError while another process, or another writer in this one, fills the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InUseError(
            f"{folder} is still being written: wait until its recorder has ended"
        ) from error
    except OSError:
        pass  # no locks here
    finally:
        os.close(descriptor)
