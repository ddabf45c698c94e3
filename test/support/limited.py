"""Runs a part of a test where no file may grow beyond a limit, as under ``ulimit -f``."""

from __future__ import annotations

import os
import resource
import signal
import traceback
from collections.abc import Callable


def in_child(most: int, do: Callable[[], object]) -> int:
    """The exit status, 0 for none that failed, of a child whose files have ``most`` bytes."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python starts; a test tool may not
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
            do()
            status = 0
        except BaseException:  # of a failed assertion too: the child ends here, however
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
