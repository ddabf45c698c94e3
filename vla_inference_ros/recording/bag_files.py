"""The files of a bag: which they are, and their serialized messages in the order of their times."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vla_inference_ros.recording.bag_message import BagFiles, RawMessage, TellLost, Topic
from vla_inference_ros.recording.bag_metadata import METADATA_FILE
from vla_inference_ros.recording.compressed import SUFFIX, plain, plain_name
from vla_inference_ros.recording.mcap_files import McapFiles
from vla_inference_ros.recording.mcap_scan import has_end
from vla_inference_ros.recording.recording import RecordingError

if TYPE_CHECKING:
    from rosbags.rosbag2 import Reader

_REPAIR = "vla-recover makes it anew of the files that are there"


def is_bag(path: Path) -> bool:
    """Whether a bag is there, whole or not: an .mcap file, also compressed (.mcap.zstd), or a
    folder with one (or with a .db3) or with metadata.yaml.
    """
    if path.is_dir():
        return (path / METADATA_FILE).exists() or bool(storage_files(path))
    return is_mcap(path)


def is_mcap(path: Path) -> bool:
    """Whether a file's name is that of an MCAP file, also of one that is compressed as a whole."""
    return plain_name(path).suffix == ".mcap"


def storage_files(folder: Path) -> list[Path]:
    """A folder's MCAP files, or else its .db3 files, in the order in which they were written. Of
    one that is there both compressed and not, the whole one: a player leaves what it has
    decompressed, also in part, and a recorder that is killed what it has compressed in part.
    """
    files = {plain_name(path): path for path in folder.glob(f"*.mcap{SUFFIX}")}
    for path in folder.glob("*.mcap"):
        if path not in files or has_end(path):
            files[path] = path
    return sorted(files.values() or folder.glob("*.db3"), key=in_order)


def in_order(path: Path) -> tuple[int, str]:
    """What files are sorted by to come in the order in which they were written: rosbag2 numbers
    them without leading zeros.
    """
    number = re.search(r"_(\d+)$", plain_name(path).stem)
    return (int(number[1]) if number else 0), path.name


def open_files(path: Path) -> BagFiles:
    """The files of the bag at a path. Raises RecordingError."""
    try:
        if not path.is_dir():
            return McapFiles(path, [path])
        if not (path / METADATA_FILE).exists():
            return _files_of(path, storage_files(path))
        content = read_metadata(path)
        files = named_files(path, content)
        mode = str(content.get("compression_mode") or "none")
        if mode.lower() != "none" and not is_mcap(files[0]):
            return _RosbagsFiles([path])
        return _files_of(path, files)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error}") from error


def _files_of(path: Path, files: Sequence[Path]) -> BagFiles:
    if not files:
        raise RecordingError(f"{path} has no bag file (.mcap, .db3) that could be read")
    if is_mcap(files[0]):
        return McapFiles(path, files)
    return _RosbagsFiles(files)


def read_metadata(folder: Path) -> dict[str, Any]:
    """What a bag's metadata.yaml says. Raises RecordingError."""
    path = folder / METADATA_FILE
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        information = content["rosbag2_bagfile_information"]
        information["relative_file_paths"][0], information["storage_identifier"]
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, IndexError) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise RecordingError(f"{path} is damaged ({what}). {_REPAIR}") from error
    found: dict[str, Any] = information
    return found


def named_files(folder: Path, content: dict[str, Any]) -> list[Path]:
    """The files that a bag's metadata.yaml names. Raises RecordingError if one is missing."""
    files = [folder / Path(str(name)).name for name in content["relative_file_paths"]]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise RecordingError(
            f"{folder / METADATA_FILE} names {', '.join(missing)}, which is missing. {_REPAIR}"
        )
    return files


class _RosbagsFiles:
    """SQLite files, read by rosbags, also if rosbag2 has compressed them."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.complete = True
        self._files = files
        self.topics: dict[str, Topic] = {}
        for file in files:
            with _opened(file) as reader:
                for connection in reader.connections:
                    self.topics[connection.topic] = Topic(
                        connection.msgtype, connection.digest, connection.msgdef.data
                    )

    def raw(self, topics: Collection[str], _: TellLost) -> Iterator[RawMessage]:
        for file in self._files:
            with _opened(file) as reader:
                wanted = [each for each in reader.connections if each.topic in topics]
                if wanted:  # an empty list would stand for all
                    for connection, stamp, data in reader.messages(wanted):
                        yield RawMessage(
                            connection.topic, connection.msgtype, stamp, plain(bytes(data))
                        )


@contextmanager
def _opened(path: Path) -> Iterator[Reader]:
    """A file, or a whole bag, by rosbags. RecordingError also for what is found damaged later."""
    from rosbags.rosbag2 import Reader  # most bags do without it

    try:
        with Reader(path) as reader:
            yield reader
    except Exception as error:  # SQLite and the decompressors each have their own
        what = " ".join(f"{error}".split())
        raise RecordingError(f"{path} cannot be read: {what}") from error
