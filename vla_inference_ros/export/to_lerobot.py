"""``--to lerobot``: a recording as a LeRobotDataset, with a frame for each action chunk."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.export import lerobot_layout as layout
from vla_inference_ros.export.chunks import chunks
from vla_inference_ros.export.dataset_picture import check_picture, dataset_picture
from vla_inference_ros.export.lerobot_files import DatasetFiles
from vla_inference_ros.export.moments import Moment, Moments
from vla_inference_ros.export.new_folder import new_folder
from vla_inference_ros.export.progress import shown
from vla_inference_ros.export.walk import walk
from vla_inference_ros.launch_arguments import ARGUMENTS
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.recording.odd import Leaving, OddError, RecordingError
from vla_inference_ros.recording.recording import Recording
from vla_inference_ros.recording.traffic import Received

_LONGEST_PERIOD = 1.5  # of the rate, between two frames of an episode
_LOOKED_AT = 600  # chunks that tell what there will be


def to_lerobot(
    recording: Recording, folder: Path, end: float | None, task: str | None
) -> list[str]:
    """Make ``folder``, the dataset; what was done, a line each.

    A frame's ``task`` is the one given, or else the instruction that was recorded, or else the
    launch files' default. Raises OutputError, RecordingError and OSError.
    """
    views, fps = _views_and_rate(recording)
    instruction = _default("instruction")
    with new_folder(folder) as new:
        leaving = recording.odd.reading("exported pictures")
        moments = Moments(
            shown(walk(recording), end),
            views,
            instruction,
            _usual_sizes(recording),
            lambda picture: _is_whole(picture, leaving),
        )
        files, breaks, converted = _fill(new, moments, fps, task)
        if files is None:
            raise RecordingError(
                f"{recording.path} gives no frame: {'; '.join(_counted(moments.left_out))}"
            )
    lines = [
        f"{folder}: {files.frames} frames (LeRobot's: action chunks) of {fps:g} Hz in "
        f"{files.episodes} episode(s)"
    ]
    if moments.without_instruction and task is None:
        lines.append(
            f"the task of {moments.without_instruction} frame(s) is the default instruction, "
            f"{instruction!r}: --task sets another"
        )
    lines += [f"a new episode after {line}" for line in _counted(breaks)]
    lines += [f"left out: {line}" for line in _counted(moments.left_out)]
    lines += [f"as RGB, in PNG: {line}" for line in _counted(converted)]
    return lines


def _usual_sizes(recording: Recording) -> dict[str, tuple[int, int]]:
    """(width, height) that most pictures of each view have; told by the first ones."""
    seen: dict[str, Counter[tuple[int, int]]] = {}
    for frame in islice(recording.frames(), _LOOKED_AT):
        seen.setdefault(frame.view, Counter())[frame.packet.width, frame.packet.height] += 1
    return {view: sizes.most_common(1)[0][0] for view, sizes in seen.items()}


def _is_whole(picture: Received[CameraFrame], leaving: Leaving) -> bool:
    where = f"the picture of {picture.view} received at {picture.received:.6f}"
    return leaving.made(where, _checked, picture.packet.jpeg) is not None


def _checked(jpeg: bytes) -> bool:
    check_picture(jpeg)
    return True


def _fill(
    folder: Path, moments: Moments, fps: float, task: str | None
) -> tuple[DatasetFiles | None, Counter[str], Counter[str]]:
    """The files; what episodes ended for; how many pictures of a view were converted."""
    files: DatasetFiles | None = None
    breaks: Counter[str] = Counter()
    converted: Counter[str] = Counter()
    last = 0.0
    try:
        for moment in moments:
            if files is None:
                sizes = {
                    view: (picture.packet.width, picture.packet.height)
                    for view, picture in moment.pictures.items()
                }
                steps, names = len(moment.chunk.actions), moment.chunk.names
                features = layout.features(sizes, steps, names)
                files = DatasetFiles(folder, features, fps)
            elif moment.chunk.time - last > _LONGEST_PERIOD / fps:
                files.end_episode()
                breaks["gap(s) of more than 1.5 periods between action chunks"] += 1
            last = moment.chunk.time
            files.add(_row(moment, converted), task or moment.instruction)
        if files is not None:
            files.finish()
    except BaseException:
        if files is not None:
            files.abandon()
        raise
    return files, breaks, converted


def _row(moment: Moment, converted: Counter[str]) -> dict[str, Any]:
    """The features of a frame that are its own, in SI units."""
    chunk, robot = moment.chunk, moment.state.packet
    pose = np.array(robot.pose)
    row: dict[str, Any] = {}
    for view, picture in moment.pictures.items():
        data, suffix = dataset_picture(picture.packet.jpeg)
        stamp = picture.packet.timestamp + picture.clock_offset
        row[layout.picture_key(view)] = {"bytes": data, "path": f"{stamp:.6f}{suffix}"}
        if suffix != ".jpg":
            converted[f"picture(s) of {view}, which were not of three channels"] += 1
    return row | {
        "observation.state": np.radians(robot.joints),
        "observation.pose": np.concatenate([pose[:3] / 1000.0, np.radians(pose[3:])]),
        "observation.force": moment.force,
        "observation.robot_force": robot.force,
        "action": chunk.actions[0],
        "action_chunk": chunk.actions.tolist(),
        "valid_steps": _whole(chunk.result.get("valid_steps"), len(chunk.actions)),
        "chunk_id": _whole(chunk.result.get("chunk_id"), 0),
        "recorded_at": chunk.time,
    }


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) else default  # older run folders have none


def _views_and_rate(recording: Recording) -> tuple[list[str], float]:
    """The views that chunks were computed from, and how many chunks there are in a second; told by
    the first minute.
    """
    used: set[str] = set()
    rate = 0.0
    count = 0
    for chunk in islice(chunks(recording), _LOOKED_AT):
        count += 1
        stamps = chunk.result.get("view_timestamps")
        used.update(map(str, stamps) if isinstance(stamps, dict) else ())
        rate = rate or (round(1.0 / chunk.step_dt, 6) if chunk.step_dt > 0 else 0.0)
    if count == 0:
        raise RecordingError(f"{recording.path} holds no action chunk, so that there is no frame")
    leaving = recording.odd.reading("exported views")
    for unknown in sorted(used - set(VIEWS)):
        what = (
            f"{recording.path}: chunks were computed from {unknown!r}, which is none of "
            f"{', '.join(VIEWS)}"
        )
        error = OddError("a view without a place", what)
        if not used & set(VIEWS):
            raise error
        leaving.out(error)
    used &= set(VIEWS)
    return [view for view in VIEWS if view in used or not used], rate or float(
        _default("action_rate")
    )


def _default(name: str) -> str:
    return next(argument.default for argument in ARGUMENTS if argument.name == name)


def _counted(counts: Counter[str]) -> list[str]:
    return [f"{count} {what}" for what, count in counts.most_common()]
