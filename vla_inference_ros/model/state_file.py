"""Reads a file of tensors, .pt, .pth or .safetensors, without running anything that it holds.

Owns the refusal of pickles that want code, and what is said of files that cannot be read and of
names and numbers in them. Does not own what the names mean.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vla_inference_ros.core.regular_file import open_regular
from vla_inference_ros.model.device import raise_if_out_of_memory
from vla_inference_ros.model.file_kind import HEAD, PLAIN_PICKLE, FileKind, kind_of
from vla_inference_ros.model.interface import ModelError

_NAMES_SHOWN = 8
_SAFE_PROTOCOL = "2"  # of pickles that torch reads safely, and writes unless it is told otherwise


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


@dataclass(frozen=True, slots=True, eq=False)
class StateFile:
    """``entries`` are what the file holds at its top level, by name; its tensors are on the CPU.
    ``misnamed`` says what it is where its suffix says otherwise, else "".
    """

    entries: dict[str, Any]
    misnamed: str


def read_state_file(path: str | PathLike[str]) -> StateFile:
    """A .safetensors file or one of torch.save, by its content, whatever its suffix.

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
            head = stream.read(HEAD)
    except FileNotFoundError:
        raise ModelError(f"checkpoint {file} does not exist: check the path") from None
    except OSError as error:
        raise ModelError(f"checkpoint {file} cannot be read: {error.strerror}") from error
    except RuntimeError as error:  # of a home that is none
        raise ModelError(f"checkpoint {file} cannot be read: {error}") from error
    if not head:
        raise ModelError(f"checkpoint {file} is empty: copy it again")
    kind = kind_of(file, head)
    named_safetensors = kind.family == "unknown" and file.suffix == ".safetensors"
    if kind.family == "safetensors" or named_safetensors:
        content = _read_safetensors(file)
    else:
        content = _read_torch(file, kind)
    if not isinstance(content, Mapping):
        raise ModelError(
            f"checkpoint {file} holds a {type(content).__name__}, not state dicts by name: save "
            "the networks' state_dict()"
        )
    return StateFile({str(name): value for name, value in content.items()}, kind.misnamed(file))


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


def _read_torch(file: Path, kind: FileKind) -> object:
    allowed = [(_NumpyData, name) for name in _NUMPY_DATA]
    in_place = kind.zipped and file.suffix != ".safetensors"
    try:
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals(allowed),  # type: ignore[arg-type]
            open_regular(file) as stream,
        ):
            warnings.simplefilter("ignore")  # of other pickle protocols; what matters is raised
            # torch reads by a path's suffix, and leaves tensors in the file only with a path.
            source = file if in_place else stream
            return torch.load(source, map_location="cpu", weights_only=True, mmap=in_place)
    except pickle.UnpicklingError as error:
        raise _refused(file, kind, error) from error
    except Exception as error:  # a broken file can provoke any in the unpickler
        raise_if_out_of_memory(error)
        if kind.name == PLAIN_PICKLE:
            raise ModelError(
                f"checkpoint {file} is {PLAIN_PICKLE}, no file of torch.save: save the state dicts "
                "with torch.save"
            ) from error
        raise _broken(file, error) from error


def _refused(file: Path, kind: FileKind, error: pickle.UnpicklingError) -> ModelError:
    """Why the safe reader stopped: another protocol, code that is wanted, or a broken pickle."""
    if kind.protocol not in ("", _SAFE_PROTOCOL):
        return ModelError(
            f"checkpoint {file} is {kind.name} with pickle_protocol={kind.protocol}, which torch's "
            "safe reader does not know: nothing of it was run; load it where it was made and "
            "save it with torch.save, leaving pickle_protocol out"
        )
    if wanted := re.search(r"GLOBAL (\S+)", str(error)):
        return ModelError(
            f"checkpoint {file} wants {wanted[1]}, which may run code: nothing of it was run; "
            "save the state dicts alone, with torch.save"
        )
    return _broken(file, error)


def _broken(file: Path, error: Exception) -> ModelError:
    reason = str(error).partition("WeightsUnpickler error: ")
    # Behind the first sentence torch advises to load without its safe reader.
    first = (reason[2] or reason[0]).strip().partition("\n")[0].partition(". ")[0]
    return ModelError(
        f"checkpoint {file} is cut short or no file of torch.save "
        f"({type(error).__name__}: {first}): copy or save it again"
    )
