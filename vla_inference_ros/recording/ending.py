"""How a command that reads a recording ends: what it left out, or why it failed, a line each."""

from __future__ import annotations

import sys

from vla_inference_ros.core.memory import out_of_memory
from vla_inference_ros.core.printable import printable
from vla_inference_ros.recording.recording import Recording


def tell_left_out(command: str, recording: Recording) -> None:
    """Say what was odd, if anything was."""
    for line in recording.odd.lines():
        print(f"{command}: {printable(line)}", file=sys.stderr)


def failed(command: str, error: Exception) -> int:
    """Say why; the exit status."""
    why = out_of_memory(error) if isinstance(error, MemoryError) else str(error)
    print(f"{command}: {printable(why)}", file=sys.stderr)
    return 1
