from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.linear import (
    PRECISIONS,
    _float8,
    check_precision,
    flow_dtype,
    pack_linear,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def layer(inputs: int = 64, outputs: int = 96) -> tuple[Tensor, Tensor]:
    return torch.randn(outputs, inputs) / inputs**0.5, torch.randn(outputs)


# Relative to results of about 1: rounding of the weights and, but for float16, of the input.
@pytest.mark.parametrize(
    ("precision", "error"), [("float32", 3e-6), ("float16", 3e-3), ("bfloat16", 3e-2)]
)
@pytest.mark.parametrize("rows", [1, 5, 65, 300])
@pytest.mark.parametrize("expected_rows", [1, 8, 1000])
def test_is_the_linear_map(precision: str, error: float, rows: int, expected_rows: int) -> None:
    weight, bias = layer()
    x = torch.randn(rows, 64)
    for offset in (bias, None):
        packed = pack_linear(weight, offset, precision, rows=expected_rows)
        result = packed(x)
        assert result.dtype == x.dtype
        expected = torch.nn.functional.linear(x, weight, offset)
        torch.testing.assert_close(result, expected, atol=error, rtol=0)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_lower_precision_does_round(precision: str) -> None:
    weight, bias = layer()
    x = torch.randn(5, 64)
    assert not torch.equal(pack_linear(weight, bias, precision)(x), x @ weight.T + bias)


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_weights_of_other_types_are_taken(precision: str) -> None:
    weight, bias = layer()
    x = torch.randn(5, 64)
    expected = pack_linear(weight, bias, precision, rows=5)(x)
    result = pack_linear(weight.double(), bias.double(), precision, rows=5)(x)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)


def test_a_call_twice_is_the_same() -> None:
    weight, bias = layer()
    x = torch.randn(5, 64)
    for precision in ("float32", "float16", "bfloat16"):
        packed = pack_linear(weight, bias, precision, rows=5)
        assert torch.equal(packed(x), packed(x))


def test_float8_keeps_three_bits_of_weights_and_input() -> None:
    """By torch's emulation on the CPU: shows the scales right, not the GPU's kernel."""
    weight, bias = layer()
    x = torch.randn(5, 64) * torch.logspace(-3, 3, 5).unsqueeze(1)  # a scale a row
    result = _float8(weight, None)(x.bfloat16()).float()
    expected = x @ weight.T
    error = (result - expected).norm(dim=1) / expected.norm(dim=1)
    assert (error < 0.06).all()
    assert (error > 1e-3).all()
    with_bias = _float8(weight, bias)(x.bfloat16()).float()
    torch.testing.assert_close(with_bias, result + bias, atol=0.05, rtol=0.01)


def test_float8_takes_bfloat16_where_no_kernel_fits() -> None:
    weight, bias = layer(inputs=60)
    x = torch.randn(5, 60).bfloat16()
    expected = pack_linear(weight, bias, "bfloat16")(x)
    assert torch.equal(pack_linear(weight, bias, "float8")(x), expected)


def test_what_flows_follows_precision_and_device() -> None:
    assert [flow_dtype(name, CPU) for name in PRECISIONS[:3]] == [
        torch.float32,
        torch.bfloat16,
        torch.float32,
    ]
    assert [flow_dtype(name, CUDA) for name in PRECISIONS] == [
        torch.float32,
        torch.bfloat16,
        torch.float16,
        torch.bfloat16,
    ]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_cpu_takes_all_but_float8(precision: str) -> None:
    check_precision(precision, CPU)


@pytest.mark.parametrize(
    ("precision", "reason"), [("float8", "float8 is for GPUs"), ("int4", "'int4' is none of auto,")]
)
def test_other_precisions_are_refused(precision: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        check_precision(precision, CPU)


def test_an_older_gpu_is_refused_float8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 6))
    with pytest.raises(ModelError, match=r"capability 8\.9 or more; cuda has 8\.6: use bfloat16"):
        check_precision("float8", CUDA)


def test_a_gpu_without_the_kernel_is_refused_float8(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Rowwise scaling is not supported on your device\nmore")

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr("vla_inference_ros.model.linear._try_float8", fail)
    with pytest.raises(ModelError, match=r"float8 does not work .* \(Rowwise .* device\): use"):
        check_precision("float8", CUDA)


@pytest.mark.parametrize("value", [1e5, -1e30, float("inf"), float("nan")])
def test_weights_beyond_float16_are_refused_and_not_clipped(value: float) -> None:
    weight, bias = layer()
    weight[3, 5] = value
    with pytest.raises(ModelError, match="beyond float16's 65504: choose another dtype"):
        pack_linear(weight, bias, "float16")
    pack_linear(weight, bias, "bfloat16")
