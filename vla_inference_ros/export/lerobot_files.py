"""The files of a LeRobotDataset, written frame by frame: little more than a second is in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_inference_ros.export import lerobot_layout as layout
from vla_inference_ros.export.statistics import (
    NumberStatistics,
    PictureStatistics,
    Statistics,
    levels_of,
)

_GROUP = 16  # frames that are written at once; readers take as many into memory
_EPISODES_GROUP = 64  # likewise of episodes


class DatasetFiles:
    """Fills a new folder. For one thread. OSError if something cannot be written."""

    def __init__(self, folder: Path, features: Mapping[str, layout.Feature], fps: float) -> None:
        self._folder, self._features, self._fps = folder, features, fps
        (folder / "meta").mkdir(parents=True)
        self._tasks: dict[str, int] = {}
        self._frames = self._episodes = 0
        self._data = _Table(folder, layout.DATA_FILE, layout.data_schema(features), _GROUP)
        self._episode_table: _Table | None = None  # its columns are known after an episode
        self._all = _Gathered(features)
        self._episode = _Gathered(features)
        self._begin = 0  # the episode's first frame
        self._episode_tasks: dict[str, None] = {}

    @property
    def frames(self) -> int:
        """How many there are."""
        return self._frames

    @property
    def episodes(self) -> int:
        """How many have ended."""
        return self._episodes

    def add(self, row: dict[str, Any], task: str) -> None:
        """A frame: its features but for those that tell where it stands in the dataset. ValueError
        for a picture that is damaged.
        """
        number = self._frames - self._begin
        self._episode_tasks[task] = None
        row |= {
            "timestamp": number / self._fps,
            "frame_index": number,
            "episode_index": self._episodes,
            "index": self._frames,
            "task_index": self._tasks.setdefault(task, len(self._tasks)),
        }
        self._gather(row, with_pictures=number % max(1, round(self._fps)) == 0)
        self._data.add(row)
        self._frames += 1

    def end_episode(self) -> None:
        """What comes next is not right after what came last."""
        if self._frames == self._begin:
            return
        data_chunk, data_file = self._data.place
        statistics = self._episode.result()
        row = {
            "episode_index": self._episodes,
            "tasks": list(self._episode_tasks),
            "length": self._frames - self._begin,
            "data/chunk_index": data_chunk,
            "data/file_index": data_file,
            "dataset_from_index": self._begin,
            "dataset_to_index": self._frames,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
            **layout.flat_statistics(statistics),
        }
        if self._episode_table is None:
            schema = pa.Table.from_pylist([row]).schema
            self._episode_table = _Table(
                self._folder, layout.EPISODES_FILE, schema, _EPISODES_GROUP
            )
        self._episode_table.add(row)
        self._data.end_part()
        self._episodes += 1
        self._begin, self._episode = self._frames, _Gathered(self._features)
        self._episode_tasks = {}

    def finish(self) -> None:
        """Write what is known at the end, and close the files; there must be a frame."""
        self.end_episode()
        self._data.close()
        if self._episode_table is not None:
            self._episode_table.close()
        pq.write_table(layout.tasks_table(list(self._tasks)), self._folder / layout.TASKS_FILE)
        info = layout.info(
            self._features, self._fps, self._episodes, self._frames, len(self._tasks)
        )
        for name, content in (
            (layout.INFO_FILE, info),
            (layout.STATISTICS_FILE, self._all.result()),
        ):
            (self._folder / name).write_text(json.dumps(content, indent=4), encoding="utf-8")

    def abandon(self) -> None:
        """Let go of the files as they are."""
        self._data.abandon()
        if self._episode_table is not None:
            self._episode_table.abandon()

    def _gather(self, row: Mapping[str, Any], with_pictures: bool) -> None:
        for name, feature in self._features.items():
            if feature.dtype != "image":
                for gathered in (self._episode, self._all):
                    gathered.numbers[name].add(np.asarray(row[name]))
            elif with_pictures:
                levels = levels_of(row[name]["bytes"])
                for gathered in (self._episode, self._all):
                    gathered.pictures[name].add(levels)


class _Gathered:
    """The statistics of all features, of an episode or of the whole."""

    def __init__(self, features: Mapping[str, layout.Feature]) -> None:
        self.numbers = {
            name: NumberStatistics(feature.shape[-1], feature.dtype == "int64")
            for name, feature in features.items()
            if feature.dtype != "image"
        }
        self.pictures = {
            name: PictureStatistics()
            for name, feature in features.items()
            if feature.dtype == "image"
        }

    def result(self) -> dict[str, Statistics]:
        every: dict[str, NumberStatistics | PictureStatistics] = {**self.pictures, **self.numbers}
        return {name: each.result() for name, each in every.items()}


class _Table:
    """Parquet files of the same columns; a new one is begun between two parts when one is full."""

    def __init__(self, folder: Path, pattern: str, schema: pa.Schema, group: int) -> None:
        self._folder, self._pattern, self._schema, self._group = folder, pattern, schema, group
        self._rows: list[dict[str, Any]] = []
        self._number = -1
        self._writer: pq.ParquetWriter | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Where the last row is: the numbers of its chunk and of its file there."""
        return divmod(max(0, self._number), layout.FILES_IN_CHUNK)

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if self._writer is None:
            self._open()
        if len(self._rows) == self._group:
            self._write()

    def end_part(self) -> None:
        """What comes next may stand in another file."""
        self._write()
        if self._path.stat().st_size >= layout.DATA_FILE_MB << 20:
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._write()
            self._writer.close()
            self._writer = None

    def abandon(self) -> None:
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException):  # after what failed already
                self._writer.close()
            self._writer.is_open = False  # else it would try again
            self._writer = None

    def _open(self) -> None:
        self._number += 1
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Pictures neither repeat nor compress, and need no statistics.
        self._writer = pq.ParquetWriter(
            self._path, self._schema, use_dictionary=False, write_statistics=["episode_index"]
        )

    def _write(self) -> None:
        if self._rows and self._writer is not None:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    @property
    def _path(self) -> Path:
        chunk, file = self.place
        return self._folder / self._pattern.format(chunk_index=chunk, file_index=file)
