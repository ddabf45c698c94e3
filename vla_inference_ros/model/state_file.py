"""Reads a file of tensors, .pt, .pth or .safetensors, without running anything that it holds.

Owns the refusal of pickles that want code, and what is said of files that cannot be read and of
names and numbers in them. Does not own what the names mean.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vla_inference_ros.core.regular_file import open_regular
from vla_inference_ros.model.device import raise_if_out_of_memory
from vla_inference_ros.model.interface import ModelError

_ZIP_SIGNATURE = b"PK\x03\x04"
_NAMES_SHOWN = 8


class _NumpyData:
    """Stands in, empty, for a loss or a random state that rides along: numpy is not asked."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_NUMPY_DATA = (
    "numpy.dtype",
    "numpy.ndarray",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",  # numpy 1
    "numpy.core.multiarray._reconstruct",
)


def read_state_file(path: str | PathLike[str]) -> dict[str, Any]:
    """What the file holds at its top level, by name; its tensors are on the CPU.

    The tensors of a zipped .pt and of a .safetensors file stay in the file until they are read:
    copy what is to outlive it. numpy's values are not read. Raises :class:`ModelError` for a file
    that is missing, empty, broken, no mapping, or that wants anything but data.
    """
    file = Path(path)
    try:
        file = file.expanduser()
        if file.is_dir():
            raise ModelError(f"checkpoint {file} is a folder: give the file in it")
        with open_regular(file) as stream:
            start = stream.read(len(_ZIP_SIGNATURE))
    except FileNotFoundError:
        raise ModelError(f"checkpoint {file} does not exist: check the path") from None
    except OSError as error:
        raise ModelError(f"checkpoint {file} cannot be read: {error.strerror}") from error
    except RuntimeError as error:  # of a home that is none
        raise ModelError(f"checkpoint {file} cannot be read: {error}") from error
    if not start:
        raise ModelError(f"checkpoint {file} is empty: copy it again")
    if file.suffix == ".safetensors":
        content = _read_safetensors(file)
    else:
        content = _read_torch(file, zipped=start == _ZIP_SIGNATURE)
    if not isinstance(content, Mapping):
        raise ModelError(
            f"checkpoint {file} holds a {type(content).__name__}, not state dicts by name: save "
            "the networks' state_dict()"
        )
    return {str(name): value for name, value in content.items()}


def listed(names: Sequence[str]) -> str:
    """The names in one line, the first few if there are many."""
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def all_finite(tensor: Tensor) -> bool:
    """Whether no number is NaN or infinite; many times faster than to ask each."""
    return tensor.numel() == 0 or bool(torch.stack(tensor.aminmax()).isfinite().all())


def _read_safetensors(file: Path) -> object:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ModelError(
            f"checkpoint {file} is cut short or no safetensors file ({error}): copy it again"
        ) from error


def _read_torch(file: Path, *, zipped: bool) -> object:
    allowed = [(_NumpyData, name) for name in _NUMPY_DATA]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):  # type: ignore[arg-type]
            warnings.simplefilter("ignore")  # of other pickle protocols; what matters is raised
            return torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted is None:
            raise _broken(file, error) from error
        raise ModelError(
            f"checkpoint {file} wants {wanted[1]}, which may run code: nothing of it was run; "
            "save the state dicts alone"
        ) from error
    except Exception as error:  # a broken file can provoke any in the unpickler
        raise_if_out_of_memory(error)
        raise _broken(file, error) from error


def _broken(file: Path, error: Exception) -> ModelError:
    reason = str(error).partition("WeightsUnpickler error: ")
    first_line = (reason[2] or reason[0]).strip().partition("\n")[0]
    return ModelError(
        f"checkpoint {file} is cut short or no file of torch.save "
        f"({type(error).__name__}: {first_line}): copy or save it again"
    )
