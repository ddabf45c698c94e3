"""What only a GPU can show: graphs, streams and its precisions give what the CPU gives.

The cases are those of bench/on_gpu.py, which also runs where there is neither pytest nor ROS.
"""

from __future__ import annotations

import pytest
import torch
from gpu.cases import CASES, FLOAT8
from gpu.precision import no_float8

# All of it is about CUDA's own arithmetic and graphs.
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    if name == FLOAT8 and (why := no_float8(CUDA)):
        # It comes with compute capability 8.9.
        pytest.skip(why)
    CASES[name](CUDA)
