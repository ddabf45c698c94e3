"""The run folder: what its files are called and hold, and the writer that fills it during a run.

``async_inference_<start>/`` holds ``View1`` to ``View5`` with the pictures as received,
``robot_state_<start>.csv``, ``sensor_data_<start>.npz``, ``inference_results_<start>.json``, and
``frames_<start>.csv``, which tells of every picture what its name cannot. Times are acquisition
times by this host's clock [Unix s], angles in deg and lengths in mm.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording.appending import (
    MOST_BYTES,
    JsonListFile,
    LineFile,
    open_new,
    write_all,
)
from vla_inference_ros.recording.csv_text import to_cell
from vla_inference_ros.recording.new_names import make_folder, stamp
from vla_inference_ros.recording.own_folder import OwnFolder
from vla_inference_ros.recording.sensor_file import PART, SensorFile
from vla_inference_ros.recording.series import Series
from vla_inference_ros.recording.traffic import Received

# The files of any run, and what is left of the sensor's while it is not finished.
RESULTS, ROBOT, FRAMES = "inference_results_*.json", "robot_state_*.csv", "frames_*.csv"
SENSOR = "sensor_data_*.npz"
LOST = "lost_*.json"
UNFINISHED_SENSOR, UNFINISHED_PICTURES = f"sensor_data_*{PART}", f"*/*.jpg{PART}"
ROBOT_COLUMNS = (
    "recv_timestamp",
    "origin_timestamp",
    "send_timestamp",
    "force_placeholder",
    *(f"joint_{number}" for number in range(1, 7)),
    *("pose_x", "pose_y", "pose_z", "pose_a", "pose_b", "pose_r"),
    "clock_offset",
)
FRAME_COLUMNS = (
    "recv_timestamp",
    "timestamp",
    "send_timestamp",
    "clock_offset",
    "view",
    "file",
    "camera",
)
_LONGEST_NAME = 100  # of a camera in a file's name [characters]


def folder_name(start: float) -> str:
    """The folder of a run that started at ``start`` [Unix s], where that name is free."""
    return f"async_inference_{stamp(start)}"


def safe_name(camera: str) -> str:
    """A camera's name as every file system takes it: letters, digits, ``.``, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", camera).lstrip(".")[:_LONGEST_NAME] or "camera"


class RunWriter:
    """Fills a new run folder under ``output_dir``; for one thread.

    All that a call was given is with the system when it returns. OSError means that it could not be
    written, and that the files are as they were before. What no longer fits into a file goes into
    the next one: ``inference_results_<start>_1.json``.
    """

    def __init__(self, output_dir: Path, start: float, most: float = MOST_BYTES) -> None:
        """Takes the next free name where the start's is taken; OSError if no folder can be made. No
        file but a picture has more than ``most`` bytes.
        """
        self.folder = make_folder(output_dir / folder_name(start))
        self._own = OwnFolder(self.folder)
        self._views: dict[str, OwnFolder] = {}  # that pictures have come of
        self._stamp, self._most = stamp(start), most
        self._sensor_path = self._named(SENSOR)
        self._sensor: Series[SensorFile] | None = None
        with ExitStack() as undo:  # a recorder tries again, twice a second
            undo.callback(self._own.discard)
            self._robot = self._lines(ROBOT, ROBOT_COLUMNS)
            undo.callback(self._robot.close)
            self._frames = self._lines(FRAMES, FRAME_COLUMNS)
            undo.callback(self._frames.close)
            self._results = Series(self._named(RESULTS), lambda path: JsonListFile(path, most))
            undo.pop_all()

    def _named(self, pattern: str) -> Path:
        return self._own.place / pattern.replace("*", self._stamp)

    def _lines(self, pattern: str, columns: Sequence[str]) -> Series[LineFile]:
        heading = ",".join(columns)
        return Series(self._named(pattern), lambda path: LineFile(path, heading, self._most))

    def add_frame(self, frame: Received[CameraFrame]) -> None:
        """A picture, as received."""
        packet, offset = frame.packet, frame.clock_offset
        name = f"{safe_name(packet.camera)}_{packet.timestamp + offset:.6f}"
        path = _write_picture(self._view(frame.view).place, name, packet.jpeg)
        sent = "" if packet.send_time is None else f"{packet.send_time + offset:.6f}"
        line = (
            f"{frame.received:.6f},{packet.timestamp + offset:.6f},{sent},{offset:.9f},"
            f"{frame.view},{path.name},{_quoted(packet.camera)}"
        )
        try:
            self._frames.append(line)
        except OSError:
            path.unlink()
            raise

    def _view(self, name: str) -> OwnFolder:
        if name not in self._views:
            self._views[name] = self._own.inner(name)
        return self._views[name]

    def add_state(self, state: Received[RobotPacket]) -> None:
        """A robot state."""
        packet, offset = state.packet, state.clock_offset
        times = (state.received, packet.origin_time + offset, packet.send_time + offset)
        numbers = (packet.force, *packet.joints, *packet.pose)
        cells = [f"{time:.6f}" for time in times] + [f"{number:.9g}" for number in numbers]
        self._robot.append(",".join([*cells, f"{offset:.9f}"]))

    def add_samples(self, samples: Received[SensorDatagram]) -> None:
        """The samples of a datagram; ValueError if their A-scans' length is not that of those
        before.
        """
        packet, offset = samples.packet, samples.clock_offset
        if self._sensor is None:
            points = packet.ascan.shape[1]
            self._sensor = Series(
                self._sensor_path, lambda path: SensorFile(path, points, self._most)
            )
        times, sent = packet.times + offset, packet.send_times + offset
        self._sensor.append(times, sent, packet.force, packet.ascan, offset, samples.received)

    def add_result(self, result: dict[str, Any]) -> None:
        """An action chunk, as a JSON object."""
        self._results.append(result)

    def is_there(self) -> bool:
        """Whether the folder and what is in it still stand where they were made."""
        folders = (self._own, *self._views.values())
        return all(each.is_there() for each in folders) and all(
            file.is_there() for file in self._files()
        )

    def close(self, lost: Mapping[str, str] | None = None) -> None:
        """Finish all files; if anything is ``lost``, a word to each kind is written to a file of
        its own. OSError if one cannot be finished, after the others were.
        """
        with ExitStack() as stack:
            for folder in (self._own, *self._views.values()):
                stack.callback(folder.close)
            if lost:
                stack.callback(self._write_lost, lost)
            for file in self._files():
                stack.callback(file.close)

    def _write_lost(self, lost: Mapping[str, str]) -> None:
        path = self._named(LOST)
        path.write_text(json.dumps(dict(lost), indent=2) + "\n", encoding="utf-8")

    def _files(self) -> list[Series[Any]]:
        files: list[Series[Any]] = [self._robot, self._frames, self._results]
        return [self._sensor, *files] if self._sensor else files


def _write_picture(folder: Path, name: str, jpeg: bytes) -> Path:
    """The file's path; a name that is taken gets a number."""
    part = folder / f"{name}.jpg{PART}"
    descriptor = open_new(part)
    try:
        write_all(descriptor, jpeg)
        path = folder / f"{name}.jpg"
        copies = 1
        while path.exists():
            copies += 1
            path = folder / f"{name}_{copies}.jpg"
        part.rename(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    finally:
        os.close(descriptor)
    return path


def _quoted(text: str) -> str:
    """A CSV cell (RFC 4180) on one line, that no spreadsheet takes for a formula."""
    return '"' + to_cell(re.sub(r"\s", " ", text)).replace('"', '""') + '"'
