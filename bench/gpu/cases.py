"""What only a GPU can show: graphs, streams and its precisions give what the CPU gives.

Owns the cases, which ``test/model/test_cuda.py`` runs too. Each takes the device and raises
AssertionError; on the CPU, where nothing is captured, all of them hold as well.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import numpy as np
import reference
import torch
from report import Row
from update import as_views

from gpu.guard import LEFT_OUT, guarded
from gpu.precision import no_float8
from gpu.settings import Settings
from vla_inference_ros.model.capture import Captured
from vla_inference_ros.model.device import describe, free_memory
from vla_inference_ros.model.heads import FUSIONS
from vla_inference_ros.model.interface import (
    DEFAULT_INSTRUCTION,
    SENSOR_WINDOW,
    FrameError,
    View,
)
from vla_inference_ros.model.linear import pack_linear
from vla_inference_ros.model.load import load_action_model, load_feature_model
from vla_inference_ros.model.qwen.features import QwenFeatures
from vla_inference_ros.model.qwen.patches import PATCH_SIZE, PATCHES_PER_VIEW
from vla_inference_ros.model.qwen.vision import VisionEncoder
from vla_inference_ros.model.tiny import (
    FEATURE_SIZE,
    byte_tokenizer,
    tiny_features,
    tiny_policy,
    vision_language_model,
)

Case = Callable[[torch.device], None]

CPU = torch.device("cpu")
FLOAT8 = "float8 is close"  # the one case that not every device can be asked for
_KEPT = 100e6  # bytes that libraries may keep for their workspaces when a model is gone


def rows(settings: Settings) -> Iterator[Row]:
    """One row for each case."""
    for name, case in CASES.items():
        if name == FLOAT8 and (why := no_float8(settings.device)):
            yield Row(f"{name}: {why}", LEFT_OUT)
        else:
            yield from guarded(name, _run(name, case, settings.device))


def _run(name: str, case: Case, device: torch.device) -> Iterator[Row]:
    case(device)
    yield Row(name, "as it must be", "", True)


def _stream(device: torch.device) -> torch.cuda.StreamContext:
    """A stream of its own, as a model has it."""
    return torch.cuda.stream(torch.cuda.Stream(device) if device.type == "cuda" else None)


@torch.inference_mode()
def _inputs_are_read_anew(device: torch.device) -> None:
    with _stream(device):
        offset = torch.ones(3, device=device)
        captured = Captured(
            lambda x, y: (x @ y).relu() + offset, *torch.eye(3, device=device).expand(2, 3, 3)
        )
        for seed in range(3):
            torch.manual_seed(seed)
            x, y = torch.randn(2, 3, 3)
            given = x.pin_memory() if device.type == "cuda" else x
            found = captured(given, y.to(device)).cpu()
            torch.testing.assert_close(found, (x @ y).relu() + 1)


@torch.inference_mode()
def _a_replay_is_the_plain_call(precision: str, device: torch.device) -> None:
    """To the bit: the same kernels run on the same shapes."""
    visual = vision_language_model(byte_tokenizer()).get_submodule("visual")
    torch.manual_seed(0)
    patches = torch.randint(256, (3, 1, PATCHES_PER_VIEW, PATCH_SIZE), dtype=torch.uint8)
    with _stream(device):
        see = VisionEncoder(visual, device, precision)
        captured = Captured(see, patches[0].to(device))
        for given in patches.to(device):
            assert torch.equal(captured(given), see(given)), "a replay differs from a plain call"


def _features_are_those_of_the_cpu(precision: str, limit: float, device: torch.device) -> None:
    views = as_views(reference.photographs(5))
    found_by, expected_by = tiny_features(device, precision), tiny_features(CPU)
    for chosen, instruction in (
        (views, DEFAULT_INSTRUCTION),
        (views, "left"),  # fits the same graph
        (views, "left " * 50),  # does not
        (views[:2], "left"),
        (views[::-1], "left"),
    ):
        found = found_by.features(chosen, instruction).ravel()
        expected = expected_by.features(chosen, instruction).ravel()
        cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
        assert 1 - cosine < limit, f"1 - cosine is {1 - cosine:.1e}, not under {limit:g}"
        np.testing.assert_array_equal(found_by.features(chosen, instruction).ravel(), found)


def _a_bad_picture_changes_nothing(device: torch.device) -> None:
    *jpegs, other = reference.photographs(6)
    views, features = as_views(jpegs), tiny_features(device)
    before = features.features(views, "left")
    bad = [View("View1", 0.0, other), *views[1:4], View("View5", 0.0, b"\xff\xd8 cut short")]
    for _ in range(2):
        assert _refused_view(features, bad) == "View5"
        np.testing.assert_array_equal(features.features(views, "left"), before)


def _refused_view(features: QwenFeatures, views: list[View]) -> str:
    """The view whose picture is refused, '' if none is."""
    try:
        features.features(views, "left")
    except FrameError as error:
        return error.view
    return ""


def _actions_are_those_of_the_cpu(
    fusion: str, precision: str, limit: float, device: torch.device
) -> None:
    found_by, expected_by = tiny_policy(device, fusion, precision), tiny_policy(CPU, fusion)
    random = np.random.default_rng(0)
    for tokens in (1, 1, 3, 1):
        features = random.normal(size=(1, tokens, FEATURE_SIZE)).astype(np.float32)
        window = random.normal(size=(SENSOR_WINDOW, 1026)).astype(np.float32)
        found = found_by.act(features, window).actions
        expected = expected_by.act(features, window).actions
        np.testing.assert_allclose(found, expected, atol=limit, rtol=0)
        np.testing.assert_array_equal(found_by.act(features, window).actions, found)


def _float8_is_close(device: torch.device) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(96, 64, device=device) / 8, torch.randn(96, device=device)
    x = torch.randn(40, 64, device=device)
    result = pack_linear(weight, bias, "float8")(x.bfloat16()).float()
    error = float((result - x @ weight.T - bias).norm() / (x @ weight.T).norm())
    assert 1e-3 < error < 0.06, f"the relative error is {error:.1e}"


def _loading_tells_the_device(device: torch.device) -> None:
    name = "cuda" if device.type == "cuda" else "cpu"
    where = f"on {device} (" if device.type == "cuda" else "on cpu,"
    own = "bfloat16" if device.type == "cuda" else "float32"
    loaded = load_feature_model("tiny", "", name, "auto", torch_threads=1, stub_seconds=0.0)
    assert loaded.summary[0].startswith(f"{own} {where}"), loaded.summary[0]
    for dtype in ("auto", "float16", "bfloat16"):
        policy = load_action_model(
            "tiny", "", name, dtype, "concat", torch_threads=1, stub_seconds=0.0
        )
        if dtype == "auto":
            assert policy.summary[0].startswith(f"float32 {where}"), policy.summary[0]
        else:
            worst = float(policy.summary[-1].split("at most ")[1].split(",")[0])
            assert worst < 0.05, policy.summary[-1]
    if device.type == "cuda":
        assert "GB of GPU memory" in describe(device), describe(device)


def _memory_comes_back(device: torch.device) -> None:
    """Twice: the second model must find what the first one had."""
    wide = device.type == "cuda"
    views = as_views(reference.photographs(5))[:2]
    dtype = torch.bfloat16 if wide else torch.float32
    width: Literal["full", "small"] = "full" if wide else "small"
    network = reference.build_qwen(width, 1, 2, 512, dtype=dtype, device=device).cpu()
    free_memory()
    before = _reserved(device)
    for _ in range(2):
        features = QwenFeatures(
            network.model, byte_tokenizer(), "", device, str(dtype).removeprefix("torch.")
        )
        features.features(views, "left")
        held, gone = _reserved(device) - before, weakref.ref(features)
        if wide:
            assert held > 3 * _KEPT, f"only {held / 1e6:.0f} MB: too little to be missed"
        gc.disable()  # nothing may need it, as loading turns it off
        try:
            del features
            assert gone() is None, "something still refers to a model that was given up"
        finally:
            gc.enable()
        free_memory()
        left = _reserved(device) - before
        assert left < _KEPT, f"{left / 1e6:.0f} of {held / 1e6:.0f} MB are still reserved"


def _reserved(device: torch.device) -> int:
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else 0


def _cases() -> Iterator[tuple[str, Case]]:
    yield "inputs are read anew", _inputs_are_read_anew
    for precision, limit in (("float32", 1e-6), ("bfloat16", 1e-2)):
        yield (
            f"a replay is the plain call, {precision}",
            partial(_a_replay_is_the_plain_call, precision),
        )
        yield (
            f"features are the CPU's, {precision}",
            partial(_features_are_those_of_the_cpu, precision, limit),
        )
    yield "a bad picture changes nothing", _a_bad_picture_changes_nothing
    for fusion in FUSIONS:
        for precision, limit in (("float32", 1e-5), ("bfloat16", 0.05)):
            yield (
                f"actions are the CPU's, {fusion}, {precision}",
                partial(_actions_are_those_of_the_cpu, fusion, precision, limit),
            )
    yield FLOAT8, _float8_is_close
    yield "loading tells the device", _loading_tells_the_device
    yield "memory comes back", _memory_comes_back


CASES: dict[str, Case] = dict(_cases())
