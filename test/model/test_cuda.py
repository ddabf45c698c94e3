"""What only a GPU can show: graphs, streams and its precisions give what the CPU gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vla_inference_ros.model.capture import Captured
from vla_inference_ros.model.device import describe
from vla_inference_ros.model.heads import FUSIONS
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, View
from vla_inference_ros.model.linear import check_precision, pack_linear
from vla_inference_ros.model.load import load_action_model, load_feature_model
from vla_inference_ros.model.tiny import tiny_features, tiny_policy

# All of it is about CUDA's own arithmetic and graphs.
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@torch.inference_mode()
def test_a_captured_function_reads_its_inputs_anew() -> None:
    with torch.cuda.stream(torch.cuda.Stream()):
        offset = torch.ones(3, device=CUDA)
        captured = Captured(
            lambda x, y: (x @ y).relu() + offset, *torch.eye(3, device=CUDA).expand(2, 3, 3)
        )
        for seed in range(3):
            torch.manual_seed(seed)
            x, y = torch.randn(2, 3, 3)
            expected = (x @ y).relu() + 1
            torch.testing.assert_close(captured(x.pin_memory(), y.to(CUDA)).cpu(), expected)


@pytest.mark.parametrize(("precision", "limit"), [("float32", 1e-6), ("bfloat16", 1e-2)])
def test_features_are_those_of_the_cpu(views: list[View], precision: str, limit: float) -> None:
    on_gpu, on_cpu = tiny_features(CUDA, precision), tiny_features(CPU)
    for chosen, instruction in (
        (views, DEFAULT_INSTRUCTION),
        (views, "left"),  # fits the same graph
        (views, "left " * 50),  # does not
        (views[:2], "left"),
        (views[::-1], "left"),
    ):
        found = on_gpu.features(chosen, instruction).ravel()
        expected = on_cpu.features(chosen, instruction).ravel()
        cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
        assert 1 - cosine < limit
        np.testing.assert_array_equal(on_gpu.features(chosen, instruction).ravel(), found)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(("precision", "limit"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_actions_are_those_of_the_cpu(fusion: str, precision: str, limit: float) -> None:
    on_gpu, on_cpu = tiny_policy(CUDA, fusion, precision), tiny_policy(CPU, fusion)
    random = np.random.default_rng(0)
    for tokens in (1, 1, 3, 1):
        features = random.normal(size=(1, tokens, 64)).astype(np.float32)
        window = random.normal(size=(65, 1026)).astype(np.float32)
        found = on_gpu.act(features, window).actions
        np.testing.assert_allclose(found, on_cpu.act(features, window).actions, atol=limit, rtol=0)
        np.testing.assert_array_equal(on_gpu.act(features, window).actions, found)


def test_float8_is_close_where_the_gpu_has_it() -> None:
    if torch.cuda.get_device_capability() < (8, 9):
        # It comes with compute capability 8.9.
        pytest.skip("this GPU has no float8")
    check_precision("float8", CUDA)
    torch.manual_seed(0)
    weight, bias = torch.randn(96, 64, device=CUDA) / 8, torch.randn(96, device=CUDA)
    x = torch.randn(40, 64, device=CUDA)
    result = pack_linear(weight, bias, "float8")(x.bfloat16()).float()
    error = (result - x @ weight.T - bias).norm() / (x @ weight.T).norm()
    assert 1e-3 < error < 0.06


def test_loading_tells_the_gpu_and_its_memory() -> None:
    features = load_feature_model("tiny", "", "auto", "auto", torch_threads=1, stub_seconds=0.0)
    assert features.summary[0].startswith("bfloat16 on cuda:0 (")
    for dtype in ("float16", "bfloat16"):
        *_, remark = load_action_model(
            "tiny", "", "cuda", dtype, "concat", torch_threads=1, stub_seconds=0.0
        ).summary
        assert float(remark.split("at most ")[1].split(",")[0]) < 0.05
    policy = load_action_model(
        "tiny", "", "cuda", "auto", "concat", torch_threads=1, stub_seconds=0.0
    )
    assert policy.summary[0].startswith("float32 on cuda:0 (")
    assert "GB of GPU memory" in describe(CUDA)
