"""``--to run``: a recording as the run folder that ``save_data:=true`` would have made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from vla_inference_ros.core.wire import CameraFrame, RobotPacket
from vla_inference_ros.export.chunks import Chunk
from vla_inference_ros.export.new_folder import new_folder
from vla_inference_ros.export.progress import shown
from vla_inference_ros.export.walk import Item, walk
from vla_inference_ros.recording.new_names import free_name
from vla_inference_ros.recording.odd import OddError, RecordingError, kind_of
from vla_inference_ros.recording.recording import Features, Recording
from vla_inference_ros.recording.run_folder import RunWriter, folder_name


def to_run(recording: Recording, output: Path, end: float | None) -> list[str]:
    """Make ``async_inference_<start>/`` in ``output``; what was done, a line each.

    Where that is taken, the next free name is. ``start`` is the time of the recording's first
    thing. VLM updates are left out, which a run folder does not hold. Raises OutputError,
    RecordingError and OSError.
    """
    start = next((time for time, _ in walk(recording)), None)
    if start is None:
        raise RecordingError(f"{recording.path} holds nothing that a run folder could hold")
    folder = free_name(output / folder_name(start))
    counts: Counter[str] = Counter()
    leaving = recording.odd.reading("exported things")
    with new_folder(folder) as new:
        with closing(RunWriter(new.parent, start)) as writer:
            for item in shown(walk(recording), end):
                kind, add, content = _destination(writer, item)
                try:
                    add(content)
                except ValueError as error:
                    what = f"{kind} of {recording.path} cannot be saved: {error}"
                    leaving.out(OddError(kind_of(error), what))
                else:
                    counts[kind] += 1
        writer.folder.rename(new)
    return [
        f"{folder}: {counts['pictures']} pictures, {counts['robot states']} robot states, "
        f"{counts['sensor datagrams']} sensor datagrams, {counts['action chunks']} action chunks",
        *([f"left out: {counts[_FEATURES]} {_FEATURES}"] if counts[_FEATURES] else []),
    ]


_FEATURES = "VLM updates, which a run folder does not hold"


def _destination(writer: RunWriter, item: Item) -> tuple[str, Callable[[Any], None], object]:
    if isinstance(item, Chunk):
        return "action chunks", writer.add_result, item.result
    if isinstance(item, Features):
        return _FEATURES, lambda _: None, item
    if isinstance(item.packet, CameraFrame):
        return "pictures", writer.add_frame, item
    if isinstance(item.packet, RobotPacket):
        return "robot states", writer.add_state, item
    return "sensor datagrams", writer.add_samples, item
