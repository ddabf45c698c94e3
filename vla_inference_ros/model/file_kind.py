"""Tells by its content what kind of file a checkpoint is, whatever its name says.

Owns the signatures, and what is said of kinds that hold no tensors or cannot be read safely. Reads
a file's beginning and a zip's list of members; unpickles nothing.
"""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vla_inference_ros.core.regular_file import open_regular
from vla_inference_ros.model.interface import ModelError

PLAIN_PICKLE = "a plain pickle"
HEAD = 512  # bytes that tell a kind; a tar names itself at 257

_ZIP = b"PK\x03\x04"
_PICKLE = 0x80  # of protocol 2 and later; the protocol follows
_LEGACY_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")  # torch.save's before zip, in a pickle
_LEGACY_MAGIC_IN_TEXT = b"L119547037146038801333356L"  # the same number by protocols 0 and 1
_SAFETENSORS_HEADER = 100_000_000  # bytes at most, by the format's own rule
_TAR = slice(257, 262), b"ustar"
_NAMES_SHOWN = 4
_TEXT_SHOWN = 40  # characters
_NO_TENSORS = (  # signature, what it is, what to do
    (b"version https://git-lfs", "a Git LFS pointer, not the weights", "run git lfs pull"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it"),
    (b"BZh", "compressed with bzip2", "unpack it"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"\x93NUMPY", "an array of numpy", "save the networks' state_dict() with torch.save"),
    (b"\x89HDF", "an HDF5 file", "save the networks' state_dict() with torch.save"),
    (b"GGUF", "a GGUF file, quantised", "give the weights that it was made from"),
)
_SUFFIXES = {".safetensors": "safetensors", ".pt": "torch", ".pth": "torch", ".ckpt": "torch"}

Family = Literal["safetensors", "torch", "unknown"]


@dataclass(frozen=True, slots=True)
class FileKind:
    """``family`` says who reads the file, ``name`` what it is for a person.

    ``zipped`` is whether torch wrote it as a zip; ``protocol`` is that of its pickle, in words, ""
    where there is none to be seen.
    """

    family: Family
    name: str
    zipped: bool = False
    protocol: str = ""

    def misnamed(self, file: Path) -> str:
        """What the file is, if its suffix says otherwise; "" if it does not."""
        promised = _SUFFIXES.get(file.suffix.lower(), self.family)
        if "unknown" in (self.family, promised) or promised == self.family:
            return ""
        return f"{self.name}, though called {file.suffix}"


def kind_of(file: Path, head: bytes) -> FileKind:
    """The kind of a file that begins with ``head``, of :data:`HEAD` bytes if it has as many.

    ``unknown`` is for what has no signature: cut short, or no file of weights at all. Raises
    :class:`ModelError` for what is certainly another thing.
    """
    if head.startswith(_ZIP):
        return _zip_kind(file)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _SAFETENSORS_HEADER:
        return FileKind("safetensors", "a safetensors file")
    if _LEGACY_MAGIC in head[:32] or head.startswith(_LEGACY_MAGIC_IN_TEXT):
        return FileKind("torch", "a torch file of the old format", protocol=_protocol(head))
    if head[0] == _PICKLE:
        return FileKind("torch", PLAIN_PICKLE, protocol=_protocol(head))
    if head[_TAR[0]] == _TAR[1]:
        raise ModelError(
            f"checkpoint {file} is a tar archive, no file of torch.save that can be read safely: "
            "unpack it if weights are in it; if torch wrote it itself, load it where it was made "
            "and save it again"
        )
    for signature, what, remedy in _NO_TENSORS:
        if head.startswith(signature):
            raise ModelError(f"checkpoint {file} is {what}: {remedy}")
    if not any(head):
        raise ModelError(
            f"checkpoint {file} begins with {len(head)} zeros: it was not written to the end, or "
            "its disk has lost it; copy or save it again"
        )
    if text := _text(head):
        raise ModelError(
            f"checkpoint {file} is text, which begins with {text[:_TEXT_SHOWN]!r}, not the "
            "weights: if it is a page or a message that came instead of them, download them again"
        )
    return FileKind("unknown", "unknown")


def _zip_kind(file: Path) -> FileKind:
    try:
        with open_regular(file) as stream, zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            pickled = next((name for name in names if name.endswith("/data.pkl")), None)
            if pickled is None:
                raise ModelError(
                    f"checkpoint {file} is a zip archive of {_some(names)}, no file of torch.save: "
                    "unpack it if weights are in it"
                )
            with archive.open(pickled) as member:
                start = member.read(2)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError):
        return FileKind("torch", "a torch file", zipped=True)  # the reader says what is wrong
    return FileKind("torch", "a torch file", zipped=True, protocol=_protocol(start))


def _protocol(pickled: bytes) -> str:
    if len(pickled) < 2:
        return ""
    return str(pickled[1]) if pickled[0] == _PICKLE else "0 or 1"


def _text(head: bytes) -> str:
    """The beginning of a text, "" for what is none."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)  # its end may be cut
    except UnicodeDecodeError:
        return ""
    return text if all(each.isprintable() or each in "\t\r\n" for each in text) else ""


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return (f"{shown} and {more} more" if more > 0 else shown) or "nothing"
