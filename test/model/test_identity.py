from __future__ import annotations

import re

import torch
from torch import nn

from vla_inference_ros.model.identity import weights_digest


def module(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).to(dtype)


def test_same_weights_have_the_same_digest() -> None:
    digest = weights_digest(module())
    assert re.fullmatch("[0-9a-f]{8}", digest)
    assert weights_digest(module()) == digest


def test_any_change_changes_the_digest() -> None:
    digests = {weights_digest(module()), weights_digest(module(), module())}
    for name in module().state_dict():
        changed = module()
        changed.state_dict()[name].flatten()[0] += 1
        digests.add(weights_digest(changed))
    digests.add(weights_digest(module(torch.bfloat16)))
    assert len(digests) == 2 + len(module().state_dict()) + 1


def test_every_type_of_weights_is_taken() -> None:
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        assert weights_digest(module(dtype)) == weights_digest(module(dtype))


def test_tensors_that_are_views_count_by_their_values() -> None:
    transposed = nn.Linear(4, 3, bias=False)
    transposed.weight = nn.Parameter(torch.arange(12.0).view(4, 3).T)
    plain = nn.Linear(4, 3, bias=False)
    plain.weight = nn.Parameter(torch.arange(12.0).view(4, 3).T.contiguous())
    assert weights_digest(transposed) == weights_digest(plain)
