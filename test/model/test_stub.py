from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, FrameError, ModelError, View
from vla_inference_ros.model.stub import StubFeatures, StubPolicy


@pytest.fixture
def window() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(65, 1026)).astype(np.float32)


def test_features_follow_their_input(views: list[View], jpeg: Callable[..., bytes]) -> None:
    stub = StubFeatures(0.0)
    first = stub.features(views, DEFAULT_INSTRUCTION)
    assert first.shape == (1, 1, 2048)
    assert first.dtype == np.float32
    assert np.abs(first).max() <= 1
    np.testing.assert_array_equal(StubFeatures(0.0).features(views, DEFAULT_INSTRUCTION), first)
    others = [stub.features(views, "Hold still"), stub.features(views[::-1], DEFAULT_INSTRUCTION)]
    for i, view in enumerate(views):
        changed = [*views[:i], View(view.name, 0.0, jpeg(50 + i)), *views[i + 1 :]]
        others.append(stub.features(changed, DEFAULT_INSTRUCTION))
    assert all(not np.array_equal(other, first) for other in others)


def test_features_are_smooth(views: list[View]) -> None:
    features = StubFeatures(0.0).features(views, DEFAULT_INSTRUCTION)
    assert np.abs(np.diff(features)).max() < 0.02


def test_decoded_pixels_are_taken(pixels: Callable[..., np.ndarray]) -> None:
    stub = StubFeatures(0.0)
    one = stub.features([View("View1", 0.0, pixels(1))], DEFAULT_INSTRUCTION)
    other = stub.features([View("View1", 0.0, pixels(2))], DEFAULT_INSTRUCTION)
    assert not np.array_equal(one, other)


def test_reading_the_pictures_is_a_part_of_the_call(views: list[View]) -> None:
    stub = StubFeatures(0.0)
    assert stub.decode_time == 0.0
    started = time.monotonic()
    stub.features(views, DEFAULT_INSTRUCTION)
    assert 0.0 < stub.decode_time <= time.monotonic() - started
    assert StubFeatures(0.0).decode_time == 0.0  # each has its own


def test_actions_follow_their_input(views: list[View], window: np.ndarray) -> None:
    features = StubFeatures(0.0).features(views, DEFAULT_INSTRUCTION)
    policy = StubPolicy(0.0)
    steps = policy.act(features, window)
    assert policy.feature_size == features.shape[-1]
    assert steps.actions.shape == steps.delta.shape == (8, 7)
    assert steps.actions.dtype == np.float32
    assert np.abs(steps.actions).max() < 1
    np.testing.assert_array_equal(steps.delta, steps.actions)
    np.testing.assert_array_equal(policy.act(features, window).actions, steps.actions)
    assert not np.array_equal(policy.act(features + 0.1, window).actions, steps.actions)
    newer = window.copy()
    newer[-1] += 1.0
    assert not np.array_equal(policy.act(features, newer).actions, steps.actions)


def test_a_call_takes_the_set_time(views: list[View], window: np.ndarray) -> None:
    started = time.monotonic()
    features = StubFeatures(0.08).features(views, DEFAULT_INSTRUCTION)
    between = time.monotonic()
    StubPolicy(0.05).act(features, window)
    assert between - started >= 0.08
    assert time.monotonic() - between >= 0.05


def test_other_threads_run_meanwhile(views: list[View]) -> None:
    finished = threading.Event()

    def call() -> None:
        StubFeatures(0.3).features(views, DEFAULT_INSTRUCTION)
        finished.set()

    thread = threading.Thread(target=call)
    thread.start()
    rounds = 0
    while not finished.is_set():
        time.sleep(0.001)
        rounds += 1
    thread.join()
    assert rounds > 10


@pytest.mark.parametrize("picture", [b"", b"no picture", np.zeros((9, 9), dtype=np.uint8)])
def test_a_broken_picture_is_an_error_of_its_view(
    views: list[View], picture: bytes | np.ndarray
) -> None:
    views[3] = View("View4", 0.0, picture)
    with pytest.raises(FrameError) as caught:
        StubFeatures(0.0).features(views, DEFAULT_INSTRUCTION)
    assert caught.value.view == "View4"


def test_no_views_is_an_error() -> None:
    with pytest.raises(ModelError, match="no views"):
        StubFeatures(0.0).features([], DEFAULT_INSTRUCTION)


def test_the_stub_never_imports_torch() -> None:
    code = (
        "import sys; from vla_inference_ros.model.load import *;"
        "load_feature_model('stub', '', 'auto', 'auto', torch_threads=1, stub_seconds=0.0);"
        "load_action_model('stub', '', 'cpu', 'auto', 'concat', torch_threads=1, stub_seconds=0.0);"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
