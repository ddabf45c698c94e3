"""Linear layers with their weights in the precision and layout that a device multiplies fastest.

Owns the precisions and their kernels. Does not own which layers are made of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vla_inference_ros.model.interface import ModelError

# Eight-bit weights on the CPU are left out: torch's need the input in seven bits where the CPU has
# no VNNI, which made errors of 4 to 8 % a layer for a third less time than float16.
PRECISIONS = ("float32", "bfloat16", "float16", "float8")
_FEW_ROWS = 64  # up to which oneDNN's layout is faster than MKL's
_FLOAT8 = torch.float8_e4m3fn
_FLOAT8_CAPABILITY = (8, 9)  # of the CUDA device: Ada and newer

Linear = Callable[[Tensor], Tensor]
"""(..., in) -> (..., out); the result has the input's type."""


def check_precision(precision: str, device: torch.device) -> None:
    """Raise :class:`ModelError` for a precision that the device cannot multiply in."""
    if precision not in PRECISIONS:
        raise ModelError(f"dtype {precision!r} is none of auto, {', '.join(PRECISIONS)}")
    if precision != "float8":
        return
    if device.type != "cuda":
        raise ModelError(f"dtype float8 is for GPUs, not {device}: use float16 or float32")
    capability = torch.cuda.get_device_capability(device)
    if capability < _FLOAT8_CAPABILITY:
        raise ModelError(
            f"dtype float8 needs a GPU of compute capability 8.9 or more; {device} has "
            f"{capability[0]}.{capability[1]}: use bfloat16"
        )
    try:
        _try_float8(device)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"dtype float8 does not work with torch {torch.__version__} on {device} ({reason}): "
            "use bfloat16"
        ) from error


def _try_float8(device: torch.device) -> None:
    unit = torch.eye(16, device=device)
    _float8(unit, None)(unit)


def flow_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of what flows between the layers of a network whose weights have ``precision``."""
    if precision in ("bfloat16", "float8"):
        return torch.bfloat16
    return torch.float16 if precision == "float16" and device.type == "cuda" else torch.float32


def pack_linear(
    weight: Tensor, bias: Tensor | None, precision: str = "float32", *, rows: int = 1
) -> Linear:
    """A linear layer of ``weight`` (out, in) and ``bias`` (out,), on the weight's device.

    ``rows`` is about how many rows an input has; it chooses the layout, any number works. float8
    falls back to bfloat16 for sizes that are not multiples of 16, which no kernel takes. Raises
    :class:`ModelError` for weights beyond float16's range, if that is the precision.
    """
    on_cpu = weight.device.type == "cpu"
    if precision == "float16":
        _check_range(weight)
    if precision == "float8" and any(size % 16 for size in weight.shape):
        precision = "bfloat16"
    if precision == "float8":
        return _float8(weight, bias)
    if precision == "float16" and on_cpu:
        return _half_on_cpu(weight, bias)
    few = 1 < rows <= _FEW_ROWS and torch.backends.mkldnn.is_available()
    if precision == "float32" and on_cpu and few:
        return _blocked(weight.float(), bias, rows)
    return _plain(weight, bias, getattr(torch, precision))


def _check_range(weight: Tensor) -> None:
    """FBGEMM would clip what is out of range, and say it in a warning only."""
    largest = float(weight.abs().amax()) if weight.numel() else 0.0
    if not largest <= torch.finfo(torch.float16).max:
        raise ModelError(
            f"a layer has weights of up to {largest:.2g}, beyond float16's 65504: choose another "
            "dtype"
        )


def _plain(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Linear:
    weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)

    def apply(x: Tensor) -> Tensor:
        return F.linear(x.to(dtype), weight, bias).to(x.dtype)

    return apply


def _blocked(weight: Tensor, bias: Tensor | None, rows: int) -> Linear:
    """oneDNN's own layout: a third less time than MKL's for the few rows of an action chunk."""
    blocked = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    bias = None if bias is None else bias.float()

    def apply(x: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, blocked, bias, "none", [], "")
        return result

    return apply


def _half_on_cpu(weight: Tensor, bias: Tensor | None) -> Linear:
    """FBGEMM: float16 weights, float32 arithmetic; most CPUs have no float16 arithmetic."""
    packed = torch.ops.quantized.linear_prepack_fp16(
        weight.float(), None if bias is None else bias.float()
    )

    def apply(x: Tensor) -> Tensor:
        result: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, packed)
        return result

    return apply


def _float8(weight: Tensor, bias: Tensor | None) -> Linear:
    """Tensor cores' float8: a scale for each row of weights and of the input."""
    quantised, scales = _to_float8(weight)
    columns, column_scales = quantised.t(), scales.t()
    bias = None if bias is None else bias.to(torch.bfloat16)

    def apply(x: Tensor) -> Tensor:
        rows, row_scales = _to_float8(x.reshape(-1, x.shape[-1]))
        result = torch._scaled_mm(
            rows, columns, row_scales, column_scales, bias=bias, out_dtype=torch.bfloat16
        )
        return result.view(*x.shape[:-1], -1).to(x.dtype)

    return apply


def _to_float8(x: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, n) in float8 and the (rows, 1) float32 scales that bring it back."""
    limit = torch.finfo(_FLOAT8).max
    scales = (x.abs().amax(dim=1, keepdim=True).float() / limit).clamp(min=1e-12)
    return (x.float() / scales).clamp(-limit, limit).to(_FLOAT8), scales
