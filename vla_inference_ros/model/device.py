"""Where a model runs: finds the device, sets torch up, tells what is used, explains what is short.

Imports torch only when it is asked to, so that ``stub`` starts at once.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import cv2

from vla_inference_ros.model.interface import ModelError

if TYPE_CHECKING:
    import torch

_GB = 1e9


def prepare_torch(device: str, threads: int) -> torch.device:
    """Import torch quietly, set the number of threads and find the device.

    ``device`` is ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. Raises :class:`ModelError`.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise ModelError(f"device {device!r} is none of auto, cpu, cuda, cuda:N")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"device {device!r}: torch {torch.__version__} finds {torch.cuda.device_count()} CUDA "
            "devices here; use device:=cpu, or install a torch built for this machine's GPU"
        )
    return torch.device("cuda", found.index or 0) if found.type == "cuda" else found


def describe(device: torch.device) -> str:
    """The device and what this process has of it, for a person."""
    import torch

    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} thread(s)"
    reserved = torch.cuda.memory_reserved(device) / _GB
    total = torch.cuda.get_device_properties(device).total_memory / _GB
    return (
        f"{device} ({torch.cuda.get_device_name(device)}), {reserved:.2f} of {total:.0f} GB of GPU "
        "memory for weights, graphs and buffers"
    )


@contextmanager
def loading() -> Iterator[None]:
    """Turn a lack of memory into a :class:`ModelError`, and keep the garbage collector away.

    It is kept from what the imports make, now and later: imports are a quarter faster without it,
    and a full collection over transformers' objects would stop every thread for 150 ms, longer than
    a period of the action expert.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        raise_if_out_of_memory(error)
        raise
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def raise_if_out_of_memory(error: Exception) -> None:
    """Raise :class:`ModelError` from an error that means a lack of memory, GPU's or ordinary."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        free, total = (size / _GB for size in torch.cuda.mem_get_info())
        raise ModelError(
            f"out of GPU memory: {free:.1f} of {total:.1f} GB are free now; stop other programs on "
            "the GPU (nvidia-smi shows them), choose dtype:=float8 or another device"
        ) from error
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        raise ModelError(
            "out of memory: free some, or choose dtype:=float16, which needs half of float32's"
        ) from error
