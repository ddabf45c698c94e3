"""The flat tables: their columns, and what stands in a row. Units are in docs/export.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.export.chunks import Chunk
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.recording.csv_text import to_cell
from vla_inference_ros.recording.odd import OddError
from vla_inference_ros.recording.recording import Features
from vla_inference_ros.recording.traffic import Received

Row = list[str | int | float]

FRAME_COLUMNS = (
    "recv_timestamp",
    "timestamp",
    "send_timestamp",
    "clock_offset",
    "view",
    "camera",
    "width",
    "height",
    "bytes",
)
SENSOR_COLUMNS = ("recv_timestamp", "timestamp", "send_timestamp", "force", "clock_offset")
FEATURE_COLUMNS = (
    "update_id",
    "started",
    "finished",
    "instruction",
    "model_id",
    "size",
    *(f"{view}_timestamp" for view in VIEWS),
)
# Of a chunk, as the run folder has them; older ones lack some, whose cells are empty.
_CHUNK_KEYS = (
    "validity",
    "valid_steps",
    "reasons",
    "inference_time",
    "vl_update_number",
    "instruction",
    "features_model_id",
    "vl_reuse_index",
    "vl_reuse_limit",
    "features_timestamp",
    "sensor_first_timestamp",
    "sensor_last_timestamp",
    "sensor_samples",
    "sensor_missing",
    "sensor_fill",
    "features_age",
    "sensor_age",
    "robot_age",
    "model_id",
)


def action_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Of the actions with these names."""
    deltas = (f"delta_{name}" for name in names)
    actions = map(to_cell, names)
    return ("chunk_id", "timestamp", "step", "step_time", *actions, *deltas, *_CHUNK_KEYS)


def action_rows(chunk: Chunk) -> Iterator[Row]:
    """A row for each step."""
    chunk_id = _cell(chunk.result.get("chunk_id"))
    rest = [_cell(chunk.result.get(key)) for key in _CHUNK_KEYS]
    for step, (actions, delta) in enumerate(zip(chunk.actions, chunk.delta, strict=True)):
        time = _time(chunk.time + step * chunk.step_dt) if chunk.step_dt else ""
        numbers = [f"{number:.9g}" for number in (*actions, *delta)]
        yield [chunk_id, _time(chunk.time), step, time, *numbers, *rest]


def state_row(state: Received[RobotPacket]) -> Row:
    """Of the columns ``run_folder.ROBOT_COLUMNS``."""
    packet, offset = state.packet, state.clock_offset
    times = (state.received, packet.origin_time + offset, packet.send_time + offset)
    numbers = (packet.force, *packet.joints, *packet.pose)
    return [*map(_time, times), *(f"{number:.9g}" for number in numbers), offset]


def sensor_rows(samples: Received[SensorDatagram], with_ascans: bool) -> Iterator[Row]:
    """A row for each sample, with its A-scan in further columns if that is wanted."""
    packet, offset, received = samples.packet, samples.clock_offset, _time(samples.received)
    for number, (time, sent, force) in enumerate(
        zip(packet.times.tolist(), packet.send_times.tolist(), packet.force.tolist(), strict=True)
    ):
        row: Row = [received, _time(time + offset), _time(sent + offset), f"{force:.9g}", offset]
        if with_ascans:
            row += [f"{value:.9g}" for value in packet.ascan[number].tolist()]
        yield row


def frame_row(frame: Received[CameraFrame]) -> Row:
    """Of FRAME_COLUMNS."""
    packet, offset = frame.packet, frame.clock_offset
    return [
        _time(frame.received),
        _time(packet.timestamp + offset),
        "" if packet.send_time is None else _time(packet.send_time + offset),
        offset,
        frame.view,
        to_cell(packet.camera),
        packet.width,
        packet.height,
        len(packet.jpeg),
    ]


def feature_row(features: Features) -> Row:
    """Of FEATURE_COLUMNS; OddError for a view that has no column."""
    stamps = features.view_stamps
    unknown = [view for view in stamps if view not in VIEWS]
    if unknown:
        raise OddError(
            "a view without a column",
            f"VLM update {features.update_id} used {unknown[0]!r}, which is none of "
            f"{', '.join(VIEWS)}",
        )
    return [
        features.update_id,
        _time(features.started),
        _time(features.finished),
        to_cell(features.instruction),
        to_cell(features.model_id),
        features.data.shape[-1],
        *(_time(stamps[view]) if view in stamps else "" for view in VIEWS),
    ]


def _time(seconds: float) -> str:
    """As the run folder has them."""
    return f"{seconds:.6f}"


def _cell(value: object) -> str | int | float:
    if isinstance(value, list):
        return to_cell("; ".join(map(str, value)))
    if isinstance(value, str):
        return to_cell(value)
    return value if isinstance(value, int | float) else ""
