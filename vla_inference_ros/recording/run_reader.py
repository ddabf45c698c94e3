"""A run folder as a recording: those that :class:`RunWriter` fills, and those of older receivers.

An older folder has no ``frames_*.csv`` and fewer columns. Its clocks count as this host's, and its
pictures as received when they were taken, which is what their names tell.
"""

from __future__ import annotations

import heapq
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from vla_inference_ros.core.jpeg import JpegError, jpeg_size
from vla_inference_ros.core.regular_file import open_regular
from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording.csv_rows import Row, rows
from vla_inference_ros.recording.json_list import read_list
from vla_inference_ros.recording.odd import Leaving, Odd, OddError, RecordingError
from vla_inference_ros.recording.recording import Features, Result
from vla_inference_ros.recording.run_folder import (
    FRAME_COLUMNS,
    FRAMES,
    RESULTS,
    ROBOT,
    ROBOT_COLUMNS,
    SENSOR,
    UNFINISHED_SENSOR,
)
from vla_inference_ros.recording.sensor_reader import read_samples
from vla_inference_ros.recording.traffic import Received

_OLD_ROBOT_COLUMNS = ROBOT_COLUMNS[:-1]  # without the clock's offset
_OUT_OF_ORDER = 4096  # rows of pictures; a recorder that falls behind holds 100 a view
_NAME = re.compile(r"(?P<camera>.+)_(?P<time>\d+(\.\d+)?)\.jpg")
_ROBOT_FLOATS = struct.Struct("<13f")


def is_run_folder(path: Path) -> bool:
    """Whether it is a folder that action chunks were saved in."""
    return path.is_dir() and any(path.glob(RESULTS))


class RunFolder:
    """Implements ``Recording``. What stands in a folder is read when it is asked for."""

    def __init__(self, path: Path, strict: bool = False) -> None:
        """RecordingError if it is no run folder, or one that is not finished; with ``strict`` also
        for what is else left out as odd.
        """
        if not is_run_folder(path):
            raise RecordingError(
                f"{path} is no run folder: it has no {RESULTS}. Name the async_inference_... "
                "folder itself"
            )
        if any(path.glob(UNFINISHED_SENSOR)):
            raise RecordingError(
                f"{path} is not finished: once its recorder has ended, run `vla-recover {path}`"
            )
        self.path = path
        self.odd = Odd(strict)

    def frames(self) -> Iterator[Received[CameraFrame]]:
        """All pictures, by the time of receipt."""
        files = self._files(FRAMES)
        leaving = self.odd.reading("pictures")
        if not files:
            yield from self._named_frames(leaving)
        found = (row for file in files for row in rows(file, FRAME_COLUMNS, leaving))
        for row in _by_receipt(found, leaving):
            if (frame := leaving.made(row.where, self._frame, row)) is not None:
                yield frame

    def states(self) -> Iterator[Received[RobotPacket]]:
        """All robot states, as they came."""
        leaving = self.odd.reading("robot states")
        for file in self._files(ROBOT):
            for row in rows(file, _OLD_ROBOT_COLUMNS, leaving):
                if (state := leaving.made(row.where, _state, row)) is not None:
                    yield state

    def samples(self) -> Iterator[Received[SensorDatagram]]:
        """All sensor samples, in the datagrams that they came in."""
        leaving = self.odd.reading("sensor samples")
        for file in self._files(SENSOR):
            try:
                yield from read_samples(file, leaving)
            except OddError as error:
                leaving.out(error)

    def results(self) -> Iterator[Result]:
        """All action chunks."""
        leaving = self.odd.reading("action chunks")
        for file in self._files(RESULTS):
            yield from read_list(file, leaving)

    def features(self) -> Iterator[Features]:
        """None: a run folder does not hold them."""
        return iter(())

    def _files(self, pattern: str) -> list[Path]:
        return sorted(self.path.glob(pattern), key=_in_order)

    def _frame(self, row: Row) -> Received[CameraFrame]:
        offset = row.number("clock_offset")
        sent = row.number("send_timestamp") - offset if row.cells["send_timestamp"] else None
        view, file = row.cells["view"], row.cells["file"]
        if any(Path(name).name != name or name == ".." for name in (view, file)):
            raise OddError(
                "a path that leads elsewhere",
                f"{row.where} names {view!r} and {file!r}: a folder in the run folder and a file "
                "in it are wanted, and nothing else is opened",
            )
        jpeg, (width, height) = _picture(self.path / view / file, f"{row.where} names")
        timestamp = row.number("timestamp") - offset
        packet = CameraFrame(row.text("camera"), timestamp, jpeg, width, height, sent)
        return Received(packet, offset, row.number("recv_timestamp"), view)

    def _named_frames(self, leaving: Leaving) -> Iterator[Received[CameraFrame]]:
        found: list[tuple[float, str, str, str]] = []
        for path in self.path.glob("View*/*.jpg"):
            name = _NAME.fullmatch(path.name)
            if name is None:
                what = (
                    f"{path}: without a {FRAMES}, a picture must be called <camera>_<timestamp>.jpg"
                )
                leaving.out(OddError("a name without a time", what))
                continue
            found.append((float(name["time"]), path.parent.name, path.name, name["camera"]))
        for timestamp, view, file, camera in sorted(found):
            picture = leaving.made(view, _picture, self.path / view / file, "the folder has")
            if picture is not None:
                packet = CameraFrame(camera, timestamp, picture[0], *picture[1])
                yield Received(packet, 0.0, timestamp, view)


def _in_order(path: Path) -> list[tuple[int, str]]:
    """A recorder numbers the files of a kind without leading zeros; the first has no number."""
    parts = re.findall(r"\d+|\D+", path.stem)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _by_receipt(given: Iterable[Row], leaving: Leaving) -> Iterator[Row]:
    """Rows that are nearly in order, brought into it: a recorder takes one view after the other."""
    heap: list[tuple[float, int, Row]] = []
    for number, row in enumerate(given):
        received = leaving.made(row.where, row.number, "recv_timestamp")
        if received is None:
            continue
        item = (received, number, row)
        if len(heap) < _OUT_OF_ORDER:
            heapq.heappush(heap, item)
        else:
            yield heapq.heappushpop(heap, item)[2]
    while heap:
        yield heapq.heappop(heap)[2]


def _state(row: Row) -> Received[RobotPacket]:
    offset = row.number_or("clock_offset", 0.0)
    numbers = [row.number(column) for column in ROBOT_COLUMNS[3:-1]]
    try:  # the wire's precision, which nine digits give back exactly
        force, *others = _ROBOT_FLOATS.unpack(_ROBOT_FLOATS.pack(*numbers))
    except OverflowError as error:
        what = f"{row.where}: a number is too large for a robot's packet"
        raise OddError("not finite", what) from error
    packet = RobotPacket(
        origin_time=row.number("origin_timestamp") - offset,
        send_time=row.number("send_timestamp") - offset,
        force=force,
        joints=tuple(others[:6]),
        pose=tuple(others[6:]),
    )
    return Received(packet, offset, row.number("recv_timestamp"))


def _picture(path: Path, why: str) -> tuple[bytes, tuple[int, int]]:
    """A JPEG and its size [pixels]; ``why`` begins the sentence that tells of trouble with it."""
    try:
        with open_regular(path) as file:
            jpeg = file.read()
    except OSError as error:
        what = f"{why} {path}, which cannot be read: {error.strerror}"
        raise OddError("a missing picture", what) from error
    try:
        return jpeg, jpeg_size(jpeg)
    except JpegError as error:
        raise OddError("bad JPEG", f"{why} {path}: {error}") from error
