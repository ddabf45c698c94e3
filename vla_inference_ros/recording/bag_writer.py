"""Writes a bag as ``ros2 bag record`` does: a folder with an MCAP file and ``metadata.yaml``."""

from __future__ import annotations

import os
import time
from pathlib import Path

from vla_inference_ros.recording import in_use
from vla_inference_ros.recording.appending import stands
from vla_inference_ros.recording.bag_metadata import (
    TopicSummary,
    as_yaml,
    information,
    offered_qos,
    summary_of,
    write_metadata,
)
from vla_inference_ros.recording.definitions import definition_of
from vla_inference_ros.recording.mcap_file import McapFile
from vla_inference_ros.recording.topics import LATCHED

_QOS_DEPTH = 100  # of who plays the bag: for pictures, several seconds


def bag_name(start: float) -> str:
    """The folder of a bag that was started at ``start`` [Unix s], in local time."""
    return time.strftime("bag_%Y%m%d_%H%M%S", time.localtime(start))


class BagWriter:
    """Fills a new folder. For one thread.

    What was written is with the system after the next ``flush``, or once some megabytes more have
    been: a process that is killed loses nothing older. OSError means that a message was not taken,
    and that it can be tried again. Every bag is complete once it is closed; one that was not can be
    read as far as it came, and be finished by ``vla-recover``.
    """

    def __init__(self, folder: Path) -> None:
        """OSError if the folder cannot be made, or is there already."""
        folder.mkdir(parents=True)
        self._lock = in_use.lock(folder)
        self.folder = folder
        self._path = folder / f"{folder.name}_0.mcap"
        self._file = McapFile(self._path)
        self._schemas: dict[str, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._topics: dict[int, TopicSummary] = {}

    @property
    def size(self) -> int:
        """What has been written [bytes]."""
        return self._file.size

    def write(self, topic: str, message_type: str, stamp_ns: int, data: bytes) -> None:
        """A message as CDR, that was published at ``stamp_ns`` [Unix ns]. UnknownTypeError."""
        channel = self._channels.get((topic, message_type))
        if channel is None:
            channel = self._channels[topic, message_type] = self._add(topic, message_type)
        self._file.write(channel, stamp_ns, data)

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

    def flush(self) -> None:
        """Hand all that was written to the system."""
        self._file.flush()

    def is_there(self) -> bool:
        """Whether its folder and its file still stand where they were made."""
        return stands(self.folder, self._lock) and self._file.is_there()

    def close(self) -> None:
        """Finish the bag. OSError leaves it without its end, which ``vla-recover`` can add."""
        summary = summary_of(self._path.name, self._file.statistics, self._topics)
        content = information("mcap", [summary])
        try:
            self._file.finish(as_yaml(content))
            write_metadata(self.folder, content)
        finally:
            self._file.close()
            os.close(self._lock)
