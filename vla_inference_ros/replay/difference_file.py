"""The comparison as a JSON file, written while it goes on: a line a chunk, then all the rest."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from vla_inference_ros.replay.difference import Differences, Divergence, Models
from vla_inference_ros.replay.lineage import RecordedChunk
from vla_inference_ros.replay.updates import FeatureDifferences


class DifferenceFile:
    """A context manager; the file has its name only once :meth:`finish` has been called."""

    def __init__(self, path: Path) -> None:
        """OSError if it cannot be written."""
        if path.is_dir():  # which the last step would find out
            raise IsADirectoryError(f"{path} is a folder: name a file in it")
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._file = self._part.open("w", encoding="utf-8")
        self._file.write('{"chunks": [')
        self._separator = "\n"

    def __enter__(self) -> DifferenceFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def compared(self, chunk: RecordedChunk, error: float, tolerance: float) -> None:
        """A chunk and its largest error."""
        self._add(chunk, max_error=finite(error), equal=error <= tolerance)

    def skipped(self, chunk: RecordedChunk, reason: str) -> None:
        """A chunk that could not be computed again."""
        self._add(chunk, skipped=reason)

    def finish(self, rest: dict[str, Any]) -> None:
        """Add the other keys and close the file."""
        text = json.dumps(rest, indent=2, allow_nan=False)
        self._file.write("\n],\n" + text[2:] + "\n")
        self._file.close()
        self._part.replace(self._path)

    def _add(self, chunk: RecordedChunk, **values: Any) -> None:
        entry = {
            "chunk_id": chunk.chunk_id,
            "timestamp": chunk.timestamp,
            "vl_update_number": chunk.update_id,
            **values,
        }
        self._file.write(self._separator + json.dumps(entry, allow_nan=False))
        self._separator = ",\n"


def summary(
    differences: Differences, features: FeatureDifferences, models: Models
) -> dict[str, Any]:
    """What the report says but for its table; an error that is not finite is None."""
    first = differences.divergences[0] if differences.divergences else None
    return {
        "expert_model_id": models.expert,
        "recorded_expert_model_ids": list(differences.model_ids),
        "vlm_model_id": models.vlm,
        "recorded_vlm_model_ids": list(differences.vlm_model_ids),
        "tolerance": differences.tolerance,
        "compared": differences.compared,
        "equal": differences.equal,
        "beyond": differences.beyond,
        "skipped": dict(sorted(differences.skipped.items())),
        "max_error": finite(differences.largest),
        "max_error_chunk_id": differences.worst if differences.largest else None,
        "first_divergence": _divergence(first) if first else None,
        "features": {
            "compared": features.compared,
            "equal": features.equal,
            "max_error": finite(features.largest),
            "max_error_vl_update_number": features.worst if features.largest else None,
        },
    }


def finite(number: float) -> float | None:
    """JSON knows no infinite and no undefined number."""
    return number if math.isfinite(number) else None


def _divergence(divergence: Divergence) -> dict[str, Any]:
    chunk = divergence.chunk
    return {
        "chunk_id": chunk.chunk_id,
        "step": divergence.step,
        "action": divergence.name,
        "recorded": finite(divergence.recorded),
        "recomputed": finite(divergence.recomputed),
        "vl_update_number": chunk.update_id,
        "vl_reuse_index": chunk.reuse[0],
        "vl_reuse_limit": chunk.reuse[1],
        "view_timestamps": chunk.view_stamps,
        "sensor_first_timestamp": chunk.sensor_first,
        "sensor_last_timestamp": chunk.sensor_last,
        "sensor_mask": [int(row) for row in chunk.mask],
        "sensor_fill": chunk.fill,
    }
