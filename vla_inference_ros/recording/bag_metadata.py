"""``metadata.yaml``, what a bag's folder says of its files, as rosbag2 reads and writes it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from vla_inference_ros.recording.mcap_format import Statistics

METADATA_FILE = "metadata.yaml"
_VERSION = 9  # the first whose QoS is in words; with numbers it is the one before
Compression: TypeAlias = Literal["", "FILE", "MESSAGE"]
_INFINITE = {"sec": 9223372036, "nsec": 854775807}


@dataclass(frozen=True, slots=True)
class TopicSummary:
    """A topic; ``qos`` is what it was offered with, as YAML."""

    name: str
    type: str
    qos: str
    type_hash: str
    messages: int


@dataclass(frozen=True, slots=True)
class FileSummary:
    """One of a bag's files; without a message ``start`` and ``end`` [ns] mean nothing."""

    name: str
    start: int
    end: int
    topics: Sequence[TopicSummary]

    @property
    def messages(self) -> int:
        """How many it holds."""
        return sum(topic.messages for topic in self.topics)


def summary_of(name: str, statistics: Statistics, topics: dict[int, TopicSummary]) -> FileSummary:
    """Of an MCAP file whose channels are ``topics``."""
    counted = [
        replace(topic, messages=statistics.counts.get(channel, 0))
        for channel, topic in topics.items()
    ]
    return FileSummary(name, statistics.start, statistics.end, counted)


def offered_qos(latched: bool, depth: int) -> str:
    """A reliable publisher's QoS as YAML."""
    profile = {
        "history": "keep_last",
        "depth": depth,
        "reliability": "reliable",
        "durability": "transient_local" if latched else "volatile",
        "deadline": dict(_INFINITE),
        "lifespan": dict(_INFINITE),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(_INFINITE),
        "avoid_ros_namespace_conventions": False,
    }
    return yaml.safe_dump([profile], sort_keys=False).rstrip("\n")


def information(
    storage: str,
    files: Sequence[FileSummary],
    compression: Compression = "",
    custom: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What ``metadata.yaml`` says of files of a ``storage``, mcap or sqlite3, of what rosbag2 has
    compressed in them, and with ``custom`` data, which it keeps and does not read.
    """
    counts: dict[TopicSummary, int] = {}
    for topic in (topic for file in files for topic in file.topics):
        key = TopicSummary(topic.name, topic.type, topic.qos, topic.type_hash, 0)
        counts[key] = counts.get(key, 0) + topic.messages
    profiles = {topic: _profiles(topic.qos) for topic in counts}
    in_words = not any(
        isinstance(profile.get("history"), int) for each in profiles.values() for profile in each
    )
    full = [file for file in files if file.messages]
    start = min((file.start for file in full), default=0)
    end = max((file.end for file in full), default=0)
    return {
        "version": _VERSION if in_words else _VERSION - 1,
        "storage_identifier": storage,
        "duration": {"nanoseconds": end - start},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": sum(counts.values()),
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.type,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": profiles[topic] if in_words else topic.qos,
                    "type_description_hash": topic.type_hash,
                },
                "message_count": count,
            }
            for topic, count in counts.items()
        ],
        "compression_format": "zstd" if compression else "",
        "compression_mode": compression,
        "relative_file_paths": [file.name for file in files],
        "files": [_file(file) for file in files],
        "custom_data": dict(custom) if custom else None,
        "ros_distro": os.environ.get("ROS_DISTRO", ""),
    }


def _profiles(qos: str) -> list[dict[str, Any]]:
    """Those of a topic; none if the text is damaged."""
    try:
        found = yaml.safe_load(qos)
    except yaml.YAMLError:
        return []
    is_one = isinstance(found, list) and all(isinstance(each, dict) for each in found)
    return found if is_one else []


def _file(file: FileSummary) -> dict[str, Any]:
    start, end = (file.start, file.end) if file.messages else (0, 0)
    return {
        "path": file.name,
        "starting_time": {"nanoseconds_since_epoch": start},
        "duration": {"nanoseconds": end - start},
        "message_count": file.messages,
    }


def as_yaml(content: dict[str, Any]) -> str:
    """As it stands in the file."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def write_metadata(folder: Path, content: dict[str, Any]) -> None:
    """Write a bag's ``metadata.yaml``, whole or not at all; OSError."""
    part = folder / f"{METADATA_FILE}.part"
    part.write_text(as_yaml({"rosbag2_bagfile_information": content}), encoding="utf-8")
    part.replace(folder / METADATA_FILE)
