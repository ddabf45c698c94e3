"""Trained weights from a folder and a file, in real node processes."""

from __future__ import annotations

import re
import time
from array import array
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from expert_topics import ANY_AGE
from harness import Listener, failed_start, running
from ports import free_port
from sensor_msgs.msg import CompressedImage
from trained import save_checkpoint, save_model

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, View
from vla_inference_ros.model.load import load_action_model, load_feature_model
from vla_inference_ros.msg import ActionChunk, SensorBatch, VLFeatures

SAMPLES = 65


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("trained") / "qwen")


@pytest.fixture(scope="module")
def checkpoint(model: Path) -> Path:
    return save_checkpoint(model.parent / "best.pt", fusion="gated", wrapper="_orig_mod.module.")


def test_the_vlm_takes_a_folder_and_its_lora(
    model: Path, checkpoint: Path, listener: Listener, tmp_path: Path
) -> None:
    config = tmp_path / "lora.json"
    config.write_text(
        '{"peft_type": "LORA", "r": 16, "lora_alpha": 16, "use_rslora": true}', encoding="utf-8"
    )
    lora: dict[str, Any] = {"adapter_config": str(config), "lora_alpha": 16.0}
    published = listener.listen(VLFeatures, "/vla/features")
    with running(
        "vlm", model=str(model), checkpoint=str(checkpoint), device="cpu", views=["View1"],
        dead_pictures="warn", compressed_topics=["/left"], raw_topics=[""], **lora,
    ) as node:  # fmt: skip
        picture = cv2.imencode(".jpg", np.full((720, 1280, 3), 90, np.uint8))[1].tobytes()

        def shoot() -> None:
            image = CompressedImage(format="jpeg", data=array("B", picture))
            image.header = header(time.time())
            listener.deliver(image, "/left")

        listener.spin_until(lambda: bool(published), repeat=shoot)
        expected = load_feature_model(
            str(model), str(checkpoint), "cpu", "auto", torch_threads=1, stub_seconds=0.0,
            **lora,
        )  # fmt: skip
        assert f"with alpha 16, rank-stabilised scale 4 ({config})" in expected.summary[1]
        assert published[0].model_id == expected.model.model_id
        feature = expected.model.features([View("View1", 0.0, picture)], DEFAULT_INSTRUCTION)
        np.testing.assert_allclose(published[0].data, feature.ravel(), atol=1e-6)
        for line in (expected.model.model_id, *expected.summary):
            node.wait_until_said(line)
        node.wait_until_said("1 views of 640x360 pixels, one update per 0.400 s")
        assert node.stop() == 0


def test_the_expert_takes_a_checkpoint(checkpoint: Path, listener: Listener) -> None:
    chunks = listener.listen(ActionChunk, "/vla/actions")
    with running(
        "action_expert", checkpoint=str(checkpoint), fusion_strategy="gated", device="cpu",
        **ANY_AGE,
    ) as node:  # fmt: skip
        random = np.random.default_rng(0)
        features = random.normal(size=(1, 1, 64)).astype(np.float32)
        window = random.normal(size=(SAMPLES, 1 + ASCAN_LENGTH)).astype(np.float32)
        start = time.time() - 1.0
        stamps = [time_message(start + slot / SENSOR_RATE) for slot in range(SAMPLES)]
        listener.deliver(
            VLFeatures(
                header=header(start),
                update_id=1,
                shape=features.shape,
                data=array("f", features.tobytes()),
            ),
            "/vla/features",
        )
        listener.deliver(
            SensorBatch(
                stamps=stamps,
                force=array("f", window[:, 0].tobytes()),
                ascan_length=ASCAN_LENGTH,
                ascan=array("f", window[:, 1:].tobytes()),
            ),
            "/sensor/samples",
        )
        listener.spin_until(lambda: bool(chunks))
        expected = load_action_model(
            "trained", str(checkpoint), "cpu", "auto", "gated", torch_threads=1, stub_seconds=0.0
        )
        assert re.fullmatch(r"best\.pt [0-9a-f]{8} float32", chunks[0].model_id)
        assert chunks[0].model_id == expected.model.model_id
        actions = np.array(chunks[0].actions, np.float32).reshape(8, 7)
        np.testing.assert_array_equal(actions, expected.model.act(features, window).actions)
        for line in (expected.model.model_id, *expected.summary):
            node.wait_until_said(line)
        node.wait_until_said("10 chunks per second, 4 for one VLM update")


def test_without_a_network_a_hub_model_ends_the_node_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    said = failed_start("vlm", device="cpu")
    assert "model Qwen/Qwen2.5-VL-3B-Instruct is not in the local cache" in said
    assert "no network?" in said


def test_what_cannot_be_loaded_ends_a_node_with_the_reason(model: Path, checkpoint: Path) -> None:
    assert "checkpoint is empty, but model:=Qwen/Qwen2.5-VL-3B-Instruct needs" in failed_start(
        "action_expert"
    )
    assert "checkpoint /no/best.pt does not exist" in failed_start(
        "action_expert", checkpoint="/no/best.pt"
    )
    assert "'concat', but the action expert's keys and sizes are those of 'gated'" in failed_start(
        "action_expert", checkpoint=str(checkpoint)
    )
    other = model.parent / "protocol4.pt"
    torch.save(torch.load(checkpoint, weights_only=True), other, pickle_protocol=4)
    for node in ("vlm", "action_expert"):
        said = failed_start(node, model=str(model), device="cpu", checkpoint=str(other))
        assert "is a torch file with pickle_protocol=4, which torch's safe reader does not" in said
    assert "model /no/folder is no folder" in failed_start("vlm", model="/no/folder")
    assert "dtype float8 is for GPUs, not cpu" in failed_start(
        "vlm", model=str(model), device="cpu", dtype="float8"
    )
