"""Writes a bag as ``ros2 bag record`` does: a folder with an MCAP file and ``metadata.yaml``."""

from __future__ import annotations

import errno
import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from vla_inference_ros.recording.appending import MOST_BYTES
from vla_inference_ros.recording.bag_metadata import (
    FileSummary,
    TopicSummary,
    as_yaml,
    information,
    offered_qos,
    summary_of,
    write_metadata,
)
from vla_inference_ros.recording.definitions import definition_of
from vla_inference_ros.recording.mcap_file import McapFile
from vla_inference_ros.recording.new_names import make_folder, stamp
from vla_inference_ros.recording.own_folder import OwnFolder
from vla_inference_ros.recording.topics import LATCHED

_QOS_DEPTH = 100  # of who plays the bag: for pictures, several seconds


def bag_name(start: float) -> str:
    """The folder of a bag that was started at ``start`` [Unix s], where that name is free."""
    return f"bag_{stamp(start)}"


class BagWriter:
    """Fills a new folder. For one thread.

    A file that would grow beyond ``most_bytes``, or beyond what the system lets it have, or that
    holds more than ``most_seconds`` by the messages' times, is followed by the next one, as
    ``ros2 bag record`` splits a bag.

    What was written is with the system after the next ``flush``, or once some megabytes more have
    been: a process that is killed loses nothing older. OSError means that a message was not taken,
    and that it can be tried again; with EFBIG, that it is more than any file may hold. Every bag is
    complete once it is closed; one that was not can be read as far as it came, and be finished by
    ``vla-recover``.
    """

    def __init__(
        self, folder: Path, most_bytes: float = MOST_BYTES, most_seconds: float = math.inf
    ) -> None:
        """Takes the next free name where that is taken; OSError if no folder can be made."""
        self.folder = make_folder(folder)
        self._own = OwnFolder(self.folder)
        self._most_bytes, self._most_ns = most_bytes, most_seconds * 1e9
        self._schemas: dict[str, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._topics: dict[int, TopicSummary] = {}
        self._former: list[FileSummary] = []
        self._unfinished: list[str] = []  # names of files that have no place for their end
        self._begun: int | None = None  # when the file's first message was published [Unix ns]
        try:
            self._file = McapFile(self._path, most_bytes)
        except OSError:  # a recorder tries again, twice a second
            self._own.discard()
            raise

    @property
    def _path(self) -> Path:
        """Of the file that is written."""
        return self._own.place / f"{self.folder.name}_{len(self._former)}.mcap"

    @property
    def pending(self) -> Counter[str]:
        """How many messages of each topic are not with the system yet."""
        counts: Counter[str] = Counter()
        for channel, count in self._file.pending.items():
            counts[self._topics[channel].name] += count
        return counts

    def write(self, topic: str, message_type: str, stamp_ns: int, data: bytes) -> None:
        """A message as CDR, that was published at ``stamp_ns`` [Unix ns]. UnknownTypeError."""
        channel = self._channels.get((topic, message_type))
        if channel is None:
            channel = self._channels[topic, message_type] = self._add(topic, message_type)
        if self._begun is not None and stamp_ns - self._begun > self._most_ns:
            self._begin_next()
        try:
            self._file.write(channel, stamp_ns, data)
        except OSError as error:
            if error.errno != errno.EFBIG or self._file.is_empty:
                raise
            self._begin_next()
            self._file.write(channel, stamp_ns, data)
        if self._begun is None and topic not in LATCHED:  # that may be from long before
            self._begun = stamp_ns

    def _add(self, topic: str, message_type: str) -> int:
        definition = definition_of(message_type)
        schema = self._schemas.get(message_type)
        if schema is None:
            schema = self._file.add_schema(message_type, "ros2msg", definition.text)
            self._schemas[message_type] = schema
        qos = offered_qos(topic in LATCHED, 1 if topic in LATCHED else _QOS_DEPTH)
        metadata = {"offered_qos_profiles": qos, "topic_type_hash": definition.hash}
        channel = self._file.add_channel(schema, topic, metadata)
        self._topics[channel] = TopicSummary(topic, message_type, qos, definition.hash, 0)
        return channel

    def _begin_next(self) -> None:
        """What the file has taken and can no longer hold goes into the next one. OSError leaves
        all as it was, or with a file that is whole: then it is to be tried again.
        """
        former = self._file
        try:
            former.flush()
        except OSError as error:
            if error.errno != errno.EFBIG or not former.statistics.chunks:
                raise
        self._finish(former)
        summary = self._summary()
        self._former.append(summary)
        try:
            following = McapFile(self._path, self._most_bytes)
        except OSError:
            self._former.remove(summary)
            raise
        following.take_over(former)
        self._file, self._begun = following, None
        former.close()

    def _summary(self) -> FileSummary:
        return summary_of(self._path.name, self._file.statistics, self._topics)

    def _finish(self, file: McapFile) -> None:
        """A file's end, for which there is no place only if the limit was lowered meanwhile."""
        if file.has_ended or self._path.name in self._unfinished:
            return
        try:
            file.end(as_yaml(information("mcap", [self._summary()])))
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            self._unfinished.append(self._path.name)

    def flush(self) -> None:
        """Hand all that was written to the system."""
        try:
            self._file.flush()
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            self._begin_next()
            self._file.flush()

    def is_there(self) -> bool:
        """Whether its folder and its file still stand where they were made."""
        return self._own.is_there() and self._file.is_there()

    def close(self, lost: Mapping[str, str] | None = None) -> None:
        """Finish the bag, whose metadata say what is ``lost``, if anything is: a word to each kind.
        OSError leaves it without its end, which ``vla-recover`` can add.
        """
        try:
            self.flush()
            self._finish(self._file)
            content = information("mcap", [*self._former, self._summary()], custom=lost)
            write_metadata(self._own.place, content)
        finally:
            self._file.close()
            self._own.close()
        if self._unfinished:
            names = ", ".join(self._unfinished)
            raise OSError(errno.EFBIG, f"{os.strerror(errno.EFBIG)}: no place for the end", names)
