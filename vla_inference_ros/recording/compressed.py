"""What rosbag2 has compressed itself, with zstd: whole files, or each message."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vla_inference_ros.core.regular_file import open_regular
from vla_inference_ros.recording.kept_aside import name_aside
from vla_inference_ros.recording.mcap_chunks import MOST_CHUNK, ZSTD_MAGIC, decompressed
from vla_inference_ros.recording.mcap_format import McapError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SUFFIX = ".zstd"  # behind a file's name
_CUT = "it was cut off"
_PIECE = 1 << 16  # that is decompressed at once: where it is damaged, all of it is lost [bytes]
_BLOCK = 4 << 20  # at once, also where little becomes much [bytes]
_RESERVE = 256 << 20  # what others are left of a disk [bytes]


def is_compressed(path: Path) -> bool:
    """Whether a file's name says that it is compressed as a whole."""
    return path.suffix == SUFFIX


def plain_name(path: Path) -> Path:
    """A file's path without what says that it is compressed."""
    return path.with_suffix("") if is_compressed(path) else path


def plain(data: bytes) -> bytes:
    """A serialized message, also if it was compressed: none that was not begins so. McapError."""
    if data[: len(ZSTD_MAGIC)] != ZSTD_MAGIC:
        return data
    found = decompressed("zstd", data, MOST_CHUNK)
    if len(found) > MOST_CHUNK:
        raise McapError(f"it holds over {MOST_CHUNK >> 20} MB")
    return found


class Decompressed:
    """What a compressed file holds, at ``path``, in a temporary file that is there as long as this
    is. ``trouble`` says why it is not all; empty if it is. One that ``is_damaged`` was not only cut
    off. OSError, also if there is no room.
    """

    def __init__(self, compressed: Path) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this is
        self.path = Path(f"/proc/self/fd/{self._file.fileno()}")
        with open_regular(compressed) as source:
            self.trouble = _decompress(source, self._file)
        self.is_damaged = self.trouble not in ("", _CUT)
        self._file.flush()


def _decompress(source: BinaryIO, target: BinaryIO) -> str:
    """Write what a file holds; why it is not all, empty if it is."""
    free = shutil.disk_usage(tempfile.gettempdir()).free - _RESERVE
    try:
        for block in _blocks(source):
            if target.tell() + len(block) > free:
                raise OSError(
                    f"there is no room in {tempfile.gettempdir()} to decompress it: the variable "
                    "TMPDIR names another folder"
                )
            target.write(block)
    except EOFError:
        return _CUT
    except zstd.ZstdError as error:
        return f"it cannot be decompressed from byte {target.tell()} on: {error}"
    return ""


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    """What a file holds. EOFError if it was cut off."""
    decompressor, data = zstd.ZstdDecompressor(), source.read(_PIECE)
    while data:
        yield decompressor.decompress(data, _BLOCK)
        while not decompressor.eof and not decompressor.needs_input:
            yield decompressor.decompress(b"", _BLOCK)
        data = decompressor.unused_data if decompressor.eof else b""
        data = data or source.read(_PIECE)
        if decompressor.eof and data:  # another frame
            decompressor = zstd.ZstdDecompressor()
    if not decompressor.eof:
        raise EOFError


def is_whole(path: Path) -> bool:
    """Whether all of a compressed file is there. OSError."""
    try:
        with open_regular(path) as file:
            for _ in _blocks(file):
                pass
    except (EOFError, zstd.ZstdError):
        return False
    return True


def compress(source: Path, target: Path) -> None:
    """Compress a file to a new one, which is there as a whole or not at all. OSError."""
    part = name_aside(target, ".part")
    try:
        with source.open("rb") as plain_file, part.open("xb") as compressed:
            compressor = zstd.ZstdCompressor()
            while block := plain_file.read(_BLOCK):
                compressed.write(compressor.compress(block))
            compressed.write(compressor.flush())
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
