"""A run folder as receivers before this package wrote it: fewer columns and no list of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from recorded import JPEG

from vla_inference_ros.core.wire import ASCAN_LENGTH

START = 1_700_000_000.5
STAMP = "20231114_221320"
COLUMNS = (
    "recv_timestamp,origin_timestamp,send_timestamp,force_placeholder,"
    "joint_1,joint_2,joint_3,joint_4,joint_5,joint_6,pose_x,pose_y,pose_z,pose_a,pose_b,pose_r"
)
CAMERAS = {"View1": "zed_41182735_left", "View5": "oak_CAM_A"}


def old_arrays(samples: int, send_times: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """What the NPZ holds."""
    times = START + np.arange(samples) / 650
    force = np.arange(samples, dtype=np.float32)
    ascan = np.repeat(force[:, None], ASCAN_LENGTH, axis=1)
    return {
        "timestamps": times,
        "send_timestamps": send_times,
        "forces": force,
        "alines": ascan,
    }


def old_run(
    parent: Path, *, count: int = 3, arrays: dict[str, np.ndarray[Any, Any]] | None = None
) -> Path:
    """A folder of ``count`` pictures a camera, robot states and action chunks, and the samples."""
    folder = parent / f"async_inference_{STAMP}"
    for number, (view, camera) in enumerate(CAMERAS.items()):
        (folder / view).mkdir(parents=True)
        for frame in range(count):
            name = f"{camera}_{START + frame + number * 0.25:.6f}.jpg"
            (folder / view / name).write_bytes(JPEG + bytes([number, frame]))
    lines = [COLUMNS]
    for number in range(count):
        t = START + number
        cells = [t + 0.02, t, t + 0.01, 0.5, *range(1, 7), 100.1, 200, 300, 10, 20, 30]
        lines.append(",".join(map(str, cells)))
    (folder / f"robot_state_{STAMP}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    results = [{"timestamp": START + number, "vl_update_number": 1} for number in range(count)]
    (folder / f"inference_results_{STAMP}.json").write_text(
        json.dumps(results, indent=2), encoding="utf-8"
    )
    if arrays is not None:
        np.savez(folder / f"sensor_data_{STAMP}.npz", **arrays)  # type: ignore[arg-type]
    return folder
