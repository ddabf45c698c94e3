"""float8 weights: how near they are, and how fast, beside the precision that is usual."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import cost
import reference
import torch
from report import Row
from step import expert_steps
from update import Feature

from gpu.guard import LEFT_OUT, guarded
from gpu.precision import no_float8
from gpu.settings import Settings
from gpu.updating import UpdateBench
from gpu.variants import compiled
from vla_inference_ros.model.capture import Captured
from vla_inference_ros.model.linear import Linear, pack_linear

_PRODUCT = (1350, 2048, 11008)  # rows, in, out: a text layer's way into its feed-forward
_COSINE = 0.99  # of float8's feature to the usual precision's, at least


def rows(settings: Settings) -> Iterator[Row]:
    """One product, the VL update, then the expert step."""
    if why := no_float8(settings.device):
        yield Row(f"float8: {why}", LEFT_OUT)
        return
    yield from guarded("product", _product(settings))
    yield from guarded("VL update", _updates(settings))
    yield from guarded("expert step", _steps(settings))


@torch.inference_mode()
def _seconds(settings: Settings, layer: Linear, given: torch.Tensor) -> float:
    """The time of a call, as a graph where there are graphs: launching must not count."""
    with torch.cuda.stream(torch.cuda.Stream() if settings.on_gpu else None):
        captured = Captured(layer, given)
        return cost.best_seconds(lambda: captured(given), settings.device, settings.patience)


@torch.inference_mode()
def _product(settings: Settings) -> Iterator[Row]:
    """A linear layer in both precisions; float8's quantises its input at every call."""
    rows_in, inputs, outputs = _PRODUCT if settings.on_gpu else (64, 64, 128)
    device = settings.device
    torch.manual_seed(reference.SEED)
    weight = torch.randn(outputs, inputs, device=device) / inputs**0.5
    x = torch.randn(rows_in, inputs, device=device)
    exact = x @ weight.T
    for precision in ("bfloat16", "float8"):
        layer, given = pack_linear(weight, None, precision, rows=rows_in), x.bfloat16()
        error = float((layer(given).float() - exact).norm() / exact.norm())
        seconds = _seconds(settings, layer, given)
        rate = 2 * rows_in * inputs * outputs / seconds / 1e12
        value = f"{seconds * 1e3:.4f}, {rate:.3f}, {error:.1e}"
        yield Row(f"product in {precision} [ms], TFLOP/s, error", value)


def _updates(settings: Settings) -> Iterator[Row]:
    bench = UpdateBench(settings)
    (views,) = bench.robots()
    bench.pair.make_room()
    yield Row(f"matmul rate in {settings.precision} [TFLOP/s]", f"{bench.rate / 1e12:.3f}")
    usual = bench.ours()(views)
    yield from _update("float8", bench, usual)
    backend = "inductor" if settings.on_gpu else "eager"
    yield from guarded("float8, compiled", _update("float8, compiled", bench, usual, backend))


def _update(name: str, bench: UpdateBench, usual: Feature, backend: str = "") -> Iterator[Row]:
    (views,) = bench.robots()
    bench.memory.start()
    with compiled(backend) if backend else nullcontext():
        update = bench.ours("float8")
        yield from bench.first(name, lambda: update(views), usual, _COSINE)
        yield from bench.timed(name, lambda: update(bench.new_views()))


def _steps(settings: Settings) -> Iterator[Row]:
    yield from expert_steps(
        settings.device,
        settings.heads(),
        ("bfloat16", "float8"),
        runs=settings.steps,
        patience=settings.patience,
    )
