"""Replays a function of fixed shapes as one CUDA graph; calls it as it is on other devices.

Owns the static inputs, the warm-up and the capture. Does not own what is computed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UP_CALLS = 3  # before a capture, as torch's documentation asks: libraries settle on kernels


class Captured:
    """``function`` of tensors whose shapes are those of ``examples``, launched at once.

    On CUDA a call copies its inputs to the graph's own and returns the graph's own output, which
    the next call overwrites; inputs may be in (pinned) host memory. Tensors that the function
    closes over are read where they were at the capture. Make and call it in one stream of its
    own, which is not the default stream.
    """

    def __init__(self, function: Callable[..., Tensor], *examples: Tensor) -> None:
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs = examples
        self._output = torch.empty(0)
        if examples[0].device.type == "cuda":
            self._capture()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's value."""
        if self._graph is None:
            return self._function(*inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._output

    def _capture(self) -> None:
        self._inputs = tuple(example.clone() for example in self._inputs)
        for _ in range(_WARM_UP_CALLS):
            self._function(*self._inputs)
        graph = torch.cuda.CUDAGraph()
        # In this very stream: its libraries' workspaces are there since the warm-up, and no other
        # model's graph, which may be replayed meanwhile, works in the same ones.
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            self._output = self._function(*self._inputs)
        self._graph = graph
