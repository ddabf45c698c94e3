"""A bag's MCAP files: read by our own scan, so that neither a missing end nor damage matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from vla_inference_ros.recording.bag_message import RawMessage, TellLost, Topic
from vla_inference_ros.recording.compressed import Decompressed, is_compressed, plain
from vla_inference_ros.recording.lost_types import restore_types
from vla_inference_ros.recording.mcap_format import McapError, Schema
from vla_inference_ros.recording.mcap_order import messages
from vla_inference_ros.recording.mcap_scan import Loss, McapScan
from vla_inference_ros.recording.recording import RecordingError

_ENCODINGS = ("ros2msg", "ros2idl")  # of the types of ROS 2
PARTS = "its parts"  # what is counted of a file that is damaged
FILES = "its files"  # and of a bag, if nothing can be read of some


class McapFiles:
    """Implements ``BagFiles``."""

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.topics: dict[str, Topic] = {}
        self._path = path
        self._decompressed: list[Decompressed] = []  # is there as long as this is
        self._unread: list[RecordingError] = []  # files of which nothing can be read
        self._scans = list(self._scanned_all(files))
        self.complete = not self._unread and all(scan.complete for scan in self._scans)
        for scan in self._scans:
            for channel in scan.channels.values():
                self.topics[channel.topic] = Topic(
                    scan.type_of(channel),
                    channel.metadata.get("topic_type_hash", ""),
                    _text(scan.schemas.get(channel.schema)),
                )
        if not self.complete and not any(len(scan.starts) for scan in self._scans):
            raise RecordingError(f"{path} was cut off before its first messages were whole")

    def _scanned_all(self, files: Sequence[Path]) -> Iterator[McapScan]:
        """Those that can be read; RecordingError if none can."""
        for file in files:
            try:
                yield self._scanned(file)
            except RecordingError as error:
                self._unread.append(error)
        if len(self._unread) == len(files):
            raise self._unread[0]

    def _scanned(self, file: Path) -> McapScan:
        try:
            if not is_compressed(file):
                scan = McapScan(file)
            else:
                source = Decompressed(file)
                self._decompressed.append(source)
                scan = McapScan(source.path, str(file))
                if source.is_damaged:
                    scan.losses.append(Loss(source.trouble, Counter()))
            restore_types(scan)
            check_ros2(scan)
        except McapError as error:
            raise RecordingError(f"{file} cannot be read: {error}") from error
        return scan

    def raw(self, topics: Collection[str], tell: TellLost) -> Iterator[RawMessage]:
        """The messages of some topics, oldest first; ``tell`` is told what is lost of them."""

        def told(scan: McapScan, loss: Loss | Counter[int]) -> None:
            if isinstance(loss, Loss):
                tell(PARTS, 1, f"{scan.name}: {loss.why}")
                return
            for number, count in loss.items():
                channel = scan.channels.get(number)
                if channel is None:
                    why = f"{scan.name}: of which topic they are was in what is damaged"
                    tell(f"the messages on channel {number}", count, why)
                elif channel.topic in topics:
                    tell(channel.topic, count, f"{scan.name}: in parts that are damaged")

        for error in self._unread:
            tell(FILES, 1, str(error))
        wanted = [
            (scan, {number for number, each in scan.channels.items() if each.topic in topics})
            for scan in self._scans
        ]
        try:
            for scan, number, stamp, data in messages(wanted, told):
                topic = scan.channels[number].topic
                try:
                    data = plain(data)
                except McapError as error:
                    tell(topic, 1, f"{scan.name}: a message: {error}")
                    continue
                yield RawMessage(topic, self.topics[topic].type, stamp, data)
        except (McapError, OSError) as error:
            raise RecordingError(f"{self._path} is damaged: {error}") from error


def check_ros2(scan: McapScan) -> None:
    """McapError if a file is of another system than ROS 2. Some recorders leave out that it is, and
    some damage takes or changes it; then every topic must look so.
    """
    if scan.profile == "ros2":
        return
    if scan.profile == "ros1" or (scan.profile and not scan.channels):
        raise McapError(f"its profile is {scan.profile!r}, not 'ros2'")
    for channel in scan.channels.values():
        schema = scan.schemas.get(channel.schema)
        encoding = schema.encoding if schema else ""
        is_lost = schema is None and bool(scan.losses)
        if channel.encoding != "cdr" or not (is_lost or encoding in _ENCODINGS):
            raise McapError(
                f"its profile is {scan.profile or ''!r}, not 'ros2', and {channel.topic} is not of "
                f"ROS 2 either (its messages are {channel.encoding!r}, its type {encoding!r})"
            )


def _text(schema: Schema | None) -> str:
    return schema.text if schema is not None and schema.encoding == "ros2msg" else ""
