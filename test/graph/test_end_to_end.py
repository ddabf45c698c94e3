"""The main job on real sockets, with photographs in the cameras, and everything computed again.

vla-launch runs all nodes with ``model:=tiny`` and the simulated senders. From the messages alone,
the test recomputes features and action chunks out of what their lineage names.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from harness import TIMEOUT, Listener, free_port
from sensor_msgs.msg import CompressedImage, JointState

from vla_inference_ros.convert import seconds, sensor_arrays
from vla_inference_ros.core.wire import SENSOR_CHANNELS
from vla_inference_ros.graph import share
from vla_inference_ros.model.interface import SENSOR_WINDOW, VIEWS, View
from vla_inference_ros.model.load import load_action_model, load_feature_model
from vla_inference_ros.msg import ActionChunk, InferenceStatus, SensorBatch, VLFeatures

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "retina")
CHUNKS = 40  # that are waited for
Key = tuple[str, int, int]  # a view and a stamp


def key(name: str, stamp: Any) -> Key:
    return name, stamp.sec, stamp.nanosec


@dataclass
class Run:
    """What a run has put on the topics, and on its console."""

    photographs: dict[str, set[bytes]]
    features: list[VLFeatures] = field(default_factory=list)
    chunks: list[ActionChunk] = field(default_factory=list)
    batches: list[SensorBatch] = field(default_factory=list)
    statuses: list[InferenceStatus] = field(default_factory=list)
    diagnostics: list[DiagnosticArray] = field(default_factory=list)
    joints: list[JointState] = field(default_factory=list)
    pictures: dict[Key, bytes] = field(default_factory=dict)
    output: str = ""
    exit_status: int | None = None


def write_photographs(folder: Path, photograph: str) -> set[bytes]:
    """A photograph and its mirror image as the rig's cameras would send them; their bytes."""
    rgb = getattr(skimage.data, photograph)()
    bgr = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), (1280, 720))
    folder.mkdir()
    for name, picture in (("1.jpg", bgr), ("2.jpg", cv2.flip(bgr, 1))):
        cv2.imwrite(str(folder / name), picture, [cv2.IMWRITE_JPEG_QUALITY, 72])
    return {path.read_bytes() for path in folder.iterdir()}


def write_parameters(path: Path, sources: list[str]) -> None:
    parameters = yaml.safe_load((share() / "config" / "async.yaml").read_text(encoding="utf-8"))
    parameters["sim_camera"]["ros__parameters"] |= {"source": sources, "fps": 6.0}
    path.write_text(yaml.safe_dump(parameters), encoding="utf-8")


@pytest.fixture(scope="module")
def run(listener: Listener, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("photographs")
    run = Run(
        {v: write_photographs(folder / v, p) for v, p in zip(VIEWS, PHOTOGRAPHS, strict=True)}
    )
    write_parameters(folder / "parameters.yaml", [str(folder / view) for view in VIEWS])
    run.features = listener.listen(VLFeatures, "/vla/features")
    run.chunks = listener.listen(ActionChunk, "/vla/actions")
    run.batches = listener.listen(SensorBatch, "/sensor/samples")
    run.statuses = listener.listen(InferenceStatus, "/vla/status")
    run.diagnostics = listener.listen(DiagnosticArray, "/diagnostics")
    run.joints = listener.listen(JointState, "/joint_states")
    images = {
        view: listener.listen(CompressedImage, f"/camera/{view.lower()}/image_raw/compressed")
        for view in VIEWS
    }
    with (folder / "output").open("wb") as output:
        launch = subprocess.Popen(
            [
                Path(sys.executable).with_name("vla-launch"),
                "async.launch.py",
                "model:=tiny",
                "sim:=true",
                f"params_file:={folder / 'parameters.yaml'}",
                f"camera_port:={free_port(socket.SOCK_STREAM)}",
                f"robot_port:={free_port(socket.SOCK_STREAM)}",
                f"sensor_port:={free_port(socket.SOCK_DGRAM)}",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            listener.spin_until(lambda: run.joints and run.statuses)  # each wait has its own limit
            listener.spin_until(lambda: run.features)
            listener.spin_until(lambda: len(run.chunks) >= CHUNKS)
            listener.spin_until(lambda: len(run.features) > CHUNKS // 8)  # the first is from before
            listener.spin_until(lambda: run.statuses[-1].actions >= CHUNKS)
        finally:
            launch.send_signal(signal.SIGINT)
            run.exit_status = launch.wait(TIMEOUT)
            run.output = (folder / "output").read_text(encoding="utf-8")
    for view, messages in images.items():
        run.pictures |= {key(view, m.header.stamp): m.data.tobytes() for m in messages}
    return run


def test_it_ends_well_and_says_what_it_did(run: Run) -> None:
    assert run.exit_status == 0, run.output
    assert "Traceback" not in run.output
    for text in (
        "🔄 [VL Update #1] Completed in ",
        "[ACTION #1] VL_reuse=1/4 | Actions[0]: [",
        "[WAIT] VL Features: False | Images: ",
        "--- Status (",
        "Robot: J1=-",
        "tiny (random weights",
    ):
        assert text in run.output, run.output


def unflickered(jpeg: bytes) -> bytes:
    """Without the first table of quantisation, which the simulated cameras change a little."""
    at = jpeg.find(b"\xff\xdb") + 5
    return jpeg[:at] + jpeg[at + 64 :]


def test_photographs_pass_through_as_the_camera_gives_them(run: Run) -> None:
    for view, photographs in run.photographs.items():
        came = {unflickered(jpeg) for (name, *_), jpeg in run.pictures.items() if name == view}
        assert came
        assert came <= {unflickered(jpeg) for jpeg in photographs}


def test_features_are_those_of_the_pictures_that_they_name(run: Run) -> None:
    model = load_feature_model("tiny", "", "cpu", "auto", torch_threads=1, stub_seconds=0.0).model
    recomputed = 0
    for features in run.features:
        keys = [key(v, s) for v, s in zip(features.views, features.view_stamps, strict=True)]
        if not all(k in run.pictures for k in keys):
            continue  # from before the test was connected
        views = [View(k[0], 0.0, run.pictures[k]) for k in keys]
        expected = model.features(views, features.instruction)
        actual = np.array(features.data, np.float32).reshape(features.shape)
        np.testing.assert_allclose(actual, expected, atol=1e-5)
        assert features.model_id == model.model_id
        assert seconds(features.header.stamp) == min(map(seconds, features.view_stamps))
        assert seconds(features.header.stamp) < seconds(features.started)
        recomputed += 1
    assert recomputed >= CHUNKS // 8
    assert len({features.data.tobytes() for features in run.features}) > 1


def test_chunks_are_those_of_the_features_and_samples_that_they_name(run: Run) -> None:
    policy = load_action_model(
        "tiny", "", "cpu", "auto", "concat", torch_threads=1, stub_seconds=0.0
    ).model
    features = {message.update_id: message for message in run.features}
    columns = [sensor_arrays(batch) for batch in run.batches]
    times, forces, ascans = (np.concatenate(column) for column in zip(*columns, strict=True))
    recomputed = 0
    for chunk in run.chunks:
        first, last = seconds(chunk.sensor_first_stamp), seconds(chunk.sensor_last_stamp)
        inside = (times >= first) & (times <= last)
        if chunk.vl_update_id not in features or inside.sum() != chunk.sensor_samples:
            continue  # from before the test was connected
        window = np.zeros((SENSOR_WINDOW, SENSOR_CHANNELS), np.float32)
        window[np.array(chunk.sensor_mask, bool)] = np.column_stack(
            (forces[inside], ascans[inside])
        )
        source = features[chunk.vl_update_id]
        vl_tokens = np.array(source.data, np.float32).reshape(source.shape)
        expected = policy.act(vl_tokens, window).actions
        actual = np.array(chunk.actions, np.float32).reshape(chunk.horizon, chunk.action_dim)
        np.testing.assert_allclose(actual, expected, atol=1e-5)
        assert chunk.features_stamp == source.header.stamp
        assert chunk.model_id == policy.model_id
        assert first < last
        recomputed += 1
    assert recomputed >= CHUNKS * 3 // 4


def test_chunks_are_counted_and_on_the_schedule(run: Run) -> None:
    ids = [chunk.chunk_id for chunk in run.chunks]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    slots = np.array([seconds(chunk.header.stamp) for chunk in run.chunks]) * 10.0
    steps = np.diff(slots)
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.01)
    assert (steps > 0.5).all()
    for before, after in zip(run.chunks[:-1], run.chunks[1:], strict=True):
        same = before.vl_update_id == after.vl_update_id
        assert after.vl_reuse_index == (before.vl_reuse_index + 1 if same else 1)
        assert (after.horizon, after.action_dim, after.sensor_window) == (8, 7, SENSOR_WINDOW)


def test_status_and_diagnostics_agree_with_what_came(run: Run) -> None:
    status = run.statuses[-1]
    assert status.state in (InferenceStatus.OK, InferenceStatus.DEGRADED), status.reason
    assert status.actions >= CHUNKS
    assert status.rejected == 0
    assert min(getattr(status, f"{view.lower()}_received") for view in VIEWS) > 0
    assert 0.0 <= status.sensor_age < TIMEOUT
    assert abs(status.joint_1 - np.mean([j.position[0] for j in run.joints])) < 0.1
    names = {diagnostic.name for array in run.diagnostics for diagnostic in array.status}
    streams = {f"vla: camera_bridge: {view}" for view in VIEWS}
    assert names >= streams | {
        "vla",
        "vla: robot_bridge: robot",
        "vla: sensor_bridge: sensor",
        "vla: vlm: vlm",
        "vla: action_expert: action_expert",
    }
