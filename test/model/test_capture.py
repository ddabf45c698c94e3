"""What can be told of a CUDA graph's capture without a GPU: with tensors that only claim to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from vla_inference_ros.model.capture import Captured


def test_a_graph_is_captured_in_the_models_own_stream_after_a_warm_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another stream would have workspaces of its own, shared by all models' graphs."""
    own, events = object(), []

    @contextmanager
    def capture(graph: object, stream: object = None) -> Iterator[None]:
        events.append(stream)
        yield

    def function(x: Tensor) -> Tensor:
        events.append("call")
        return x + 1

    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: own)
    with FakeTensorMode():
        Captured(function, torch.empty(3, device="cuda"))
    assert events == ["call", "call", "call", own, "call"]
