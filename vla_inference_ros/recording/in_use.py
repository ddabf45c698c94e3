"""Whether a recording is still being written, by this package's recorders or any other program.

Who fills a folder here locks it until his process ends. Of other programs' files the kernel tells:
a read lease is refused while anybody has a file open to write it. Some file systems know no locks,
or no leases, and leases are only for a file's owner; then the files that processes have open are
looked at, as far as they may be, and a file that was written just now counts as in use.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_JUST_NOW = 10.0  # a recorder writes more often [s]
_LONGEST_COMMAND = 60  # of a process that is named [characters]
_PROCESSES = Path("/proc")


class InUseError(ValueError):
    """A recording that is still being written; the message says which."""


def lock(folder: Path) -> int:
    """A descriptor that holds the lock until it is closed. OSError, also for a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder, flags)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def check_ended(folder: Path, files: Iterable[Path] = ()) -> None:
    """InUseError while another process, or another writer in this one, fills the folder or has one
    of some files in it open to write it. OSError.
    """
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
    for file in files:
        _check_file(file)


def _check_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        return  # nobody records there, and who opens it says what it is
    is_written = _lease_refused(path)
    if is_written is False:
        return
    writers = list(_writers(path))
    if writers:
        raise InUseError(
            f"{path} is still being written by {', '.join(writers)}: wait until it has ended"
        )
    if is_written:
        raise InUseError(
            f"{path} is still being written, by a process that this user may not look at: wait "
            "until it has ended"
        )
    age = time.time() - path.stat().st_mtime
    if 0 <= age < _JUST_NOW:
        raise InUseError(
            f"{path} was written {age:.0f} s ago, and its file system does not tell by whom: if "
            f"its recorder has ended, try again in {_JUST_NOW:.0f} s"
        )


def _lease_refused(path: Path) -> bool | None:
    """Whether anybody has a file open to write it; None if that cannot be told so."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Who opens it meanwhile has the kernel signal us, by default with what ends a process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(descriptor)
    return False


def _writers(path: Path) -> Iterator[str]:
    """The processes that have a file open to write it, of those that may be looked at, as people
    know them.
    """
    file = path.stat()
    for process in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError):
            for opened in (process / "fd").iterdir():
                with suppress(OSError):
                    if os.path.samestat(opened.stat(), file) and _is_to_write(process, opened):
                        yield _named(process)
                        break


def _is_to_write(process: Path, opened: Path) -> bool:
    """From the flags of a descriptor."""
    text = (process / "fdinfo" / opened.name).read_text(encoding="utf-8")
    flags = next(line.split()[1] for line in text.splitlines() if line.startswith("flags:"))
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def _named(process: Path) -> str:
    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    if len(command) > _LONGEST_COMMAND:
        command = f"{command[:_LONGEST_COMMAND]}..."
    return f"process {process.name} ({command.strip()})"
