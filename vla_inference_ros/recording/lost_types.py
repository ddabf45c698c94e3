"""What can still be told of a topic's type if the record is lost that says it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from vla_inference_ros.recording.definitions import UnknownTypeError, definition_of
from vla_inference_ros.recording.mcap_format import Schema
from vla_inference_ros.recording.mcap_scan import McapScan
from vla_inference_ros.recording.topics import TOPICS


def restore_types(scan: McapScan) -> list[str]:
    """Give the topics of a run their types again: each is of one type, whose hash the topic's own
    record may confirm. Of other topics a type that is lost stays so, and the channel has none. What
    was done, a line each.
    """
    lost = [each for each in scan.channels.values() if each.schema not in (0, *scan.schemas)]
    lines = []
    for channel in lost:
        kind = TOPICS.get(channel.topic, "")
        if channel.schema not in scan.schemas:
            with suppress(UnknownTypeError):
                known = definition_of(kind)
                if channel.metadata.get("topic_type_hash", "") in ("", known.hash):
                    schema = Schema(channel.schema, kind, "ros2msg", known.text)
                    scan.schemas[channel.schema] = schema
        if schema_of := scan.schemas.get(channel.schema):
            lines.append(f"  the type of {channel.topic} is lost, and taken for {schema_of.name}")
        else:
            scan.channels[channel.id] = replace(channel, schema=0)
            lines.append(f"  the type of {channel.topic} is lost")
    return lines
