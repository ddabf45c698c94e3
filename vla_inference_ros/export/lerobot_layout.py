"""The layout of a LeRobotDataset, version 3.0: its features, and how they stand in its files.

Written with pyarrow alone: the lerobot library asks for an older torch and an older transformers
than the nodes do, so that both cannot be in one environment. Pictures are of the kind ``image``:
they stand in the rows, coded as received where a reader would see the declared RGB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vla_inference_ros.export.statistics import Statistics

VERSION = "v3.0"
ROBOT = "meca500"
INFO_FILE, STATISTICS_FILE = "meta/info.json", "meta/stats.json"
TASKS_FILE = "meta/tasks.parquet"
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_FILE = f"data/{_FILE}"
EPISODES_FILE = f"meta/episodes/{_FILE}"
FILES_IN_CHUNK = 1000
DATA_FILE_MB = 100  # a file that has reached it gets no further episode
_TASK_COLUMN = "__index_level_0__"  # pandas' name of an index that has none


@dataclass(frozen=True, slots=True)
class Feature:
    """A column: ``dtype`` is image or a number's, ``names`` tell what its numbers are."""

    dtype: str
    shape: tuple[int, ...]
    names: Sequence[str] | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """How a row holds it; a single number stands alone."""
        if self.dtype == "image":
            return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        number = pa.type_for_alias(self.dtype)
        if self.shape == (1,):
            return number
        if len(self.shape) == 1:
            return pa.list_(number, self.shape[0])
        return pa.list_(pa.list_(number))

    @property
    def hub_type(self) -> dict[str, Any]:
        """What the datasets library, which reads the rows, takes it for."""
        if self.dtype == "image":
            return {"_type": "Image"}
        number = {"dtype": self.dtype, "_type": "Value"}
        if self.shape == (1,):
            return number
        if len(self.shape) == 1:
            return {"feature": number, "length": self.shape[0], "_type": "List"}
        return {"shape": list(self.shape), "dtype": self.dtype, "_type": "Array2D"}


def features(
    pictures: Mapping[str, tuple[int, int]], steps: int, names: Sequence[str]
) -> dict[str, Feature]:
    """All features, for views with pictures of (width, height) pixels and for chunks of so many
    ``steps`` of the actions ``names``.
    """
    joints = [f"joint_{number}_rad" for number in range(1, 7)]
    pose = ["x_m", "y_m", "z_m", "alpha_rad", "beta_rad", "gamma_rad"]
    one = (1,)
    return {
        **{
            picture_key(view): Feature("image", (height, width, 3), ("height", "width", "channels"))
            for view, (width, height) in pictures.items()
        },
        "observation.state": Feature("float32", (6,), joints),
        "observation.pose": Feature("float32", (6,), pose),
        "observation.force": Feature("float32", one, ("force_N",)),
        "observation.robot_force": Feature("float32", one, ("force_N",)),
        "action": Feature("float32", (len(names),), names),
        "action_chunk": Feature("float32", (steps, len(names)), ("step", "action")),
        "valid_steps": Feature("int64", one),
        "chunk_id": Feature("int64", one),
        "recorded_at": Feature("float64", one, ("unix_time_s",)),
        "timestamp": Feature("float32", one),
        "frame_index": Feature("int64", one),
        "episode_index": Feature("int64", one),
        "index": Feature("int64", one),
        "task_index": Feature("int64", one),
    }


def picture_key(view: str) -> str:
    """The feature that is a view's pictures."""
    return f"observation.images.{view.lower()}"


def data_schema(given: Mapping[str, Feature]) -> pa.Schema:
    """Of the files with the frames."""
    hub = {"info": {"features": {name: feature.hub_type for name, feature in given.items()}}}
    return pa.schema(
        [(name, feature.arrow_type) for name, feature in given.items()],
        metadata={"huggingface": json.dumps(hub)},
    )


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """The tasks by their numbers, as pandas writes a frame that is indexed by them."""
    pandas = {
        "index_columns": [_TASK_COLUMN],
        "column_indexes": [],
        "columns": [
            _pandas_column("task_index", "task_index", "int64"),
            _pandas_column(None, _TASK_COLUMN, "unicode"),
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    schema = pa.schema(
        [("task_index", pa.int64()), (_TASK_COLUMN, pa.string())],
        metadata={"pandas": json.dumps(pandas)},
    )
    return pa.table([list(range(len(tasks))), list(tasks)], schema=schema)


def _pandas_column(name: str | None, field: str, kind: str) -> dict[str, Any]:
    numpy = "object" if kind == "unicode" else kind
    return {
        "name": name,
        "field_name": field,
        "pandas_type": kind,
        "numpy_type": numpy,
        "metadata": None,
    }


def info(
    given: Mapping[str, Feature], fps: float, episodes: int, frames: int, tasks: int
) -> dict[str, Any]:
    """What ``meta/info.json`` holds."""
    return {
        "codebase_version": VERSION,
        "robot_type": ROBOT,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": FILES_IN_CHUNK,
        "data_files_size_in_mb": DATA_FILE_MB,
        "video_files_size_in_mb": 200,  # has no meaning without videos, but must be there
        "fps": int(fps) if fps == int(fps) else fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_FILE,
        "video_path": None,
        "features": {
            name: {
                "dtype": feature.dtype,
                "shape": list(feature.shape),
                "names": None if feature.names is None else list(feature.names),
            }
            for name, feature in given.items()
        },
    }


def flat_statistics(found: Mapping[str, Statistics]) -> dict[str, Any]:
    """An episode's, as columns of ``meta/episodes``."""
    return {
        f"stats/{feature}/{name}": values
        for feature, each in found.items()
        for name, values in each.items()
    }
