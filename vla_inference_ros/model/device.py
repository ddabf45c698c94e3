"""Where a model runs: finds the device, sets torch up, tells what is used, explains what is short.

Imports torch only when it is asked to, so that ``stub`` starts at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import sys
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
    if found.type == "cuda":
        found = torch.device("cuda", found.index or 0)
        torch.cuda.set_device(found)
        torch.backends.cudnn.allow_tf32 = False  # float32 is to mean float32
    return found


def describe(device: torch.device) -> str:
    """The device and what this process has of it, for a person."""
    import torch

    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} thread(s)"
    torch.cuda.empty_cache()
    reserved = torch.cuda.memory_reserved(device) / _GB
    free, total = (size / _GB for size in torch.cuda.mem_get_info(device))
    return (
        f"{device} ({torch.cuda.get_device_name(device)}), {reserved:.2f} GB of GPU memory for "
        f"weights, graphs and buffers ({total - free:.2f} of {total:.0f} GB in use by all programs)"
    )


@contextmanager
def loading() -> Iterator[None]:
    """Explain a lack of memory, and keep the garbage collector away from what the imports make.

    Imports are a quarter faster without it, and a full collection over transformers' objects would
    later stop every thread for 150 ms, longer than a period of the action expert.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with explained_memory():
            yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def free_memory() -> None:
    """Give back what a model that is no longer referred to has used."""
    gc.unfreeze()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    with contextlib.suppress(AttributeError, OSError):  # only glibc keeps what could go back
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def explained_memory() -> Iterator[None]:
    """Turn any error that means a lack of memory into a :class:`ModelError` with a remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        raise_if_out_of_memory(error)
        raise


def raise_if_out_of_memory(error: Exception) -> None:
    """Raise :class:`ModelError` if the error, or one that it came from, is a lack of memory.

    CUDA and cuBLAS say so in words only, and the end of a graph's capture hides what ended it.
    """
    cause: BaseException | None = error
    while cause is not None:
        text = f"{type(cause).__name__}: {cause}"
        on_gpu = re.search(r"CUDA.*out of memory|CU\w+_STATUS_ALLOC_FAILED", text, re.DOTALL)
        if on_gpu or type(cause).__name__ == "OutOfMemoryError":
            raise ModelError(
                f"out of GPU memory{_free_memory()}: stop other programs on the GPU (nvidia-smi "
                "shows them), choose dtype:=float8 where the GPU has it, or another device"
            ) from error
        if isinstance(cause, MemoryError) or re.search("an't allocate|Cannot allocate", text):
            raise ModelError(
                "out of memory: free some, or choose dtype:=float16, which needs about half of "
                "float32's"
            ) from error
        cause = cause.__cause__ or cause.__context__


def _free_memory() -> str:
    import torch

    try:
        free, total = (size / _GB for size in torch.cuda.mem_get_info())
    except Exception:  # the GPU may be too full to be asked, and the caller has an error already
        return ""
    return f", {free:.1f} of {total:.1f} GB are free now"
