"""What is multiplied out at the start must give what the plain modules give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parity import NAMES, PARITY, fusion_of
from torch import Tensor, nn

from vla_inference_ros.model.affine import Affine
from vla_inference_ros.model.checkpoint import load_policy_heads
from vla_inference_ros.model.fused import FusedHeads
from vla_inference_ros.model.fusion import fuse
from vla_inference_ros.model.heads import FUSIONS, ActionExpert, SensorEncoder

CLOSE = 1e-5


def trained_looking(module: nn.Module) -> nn.Module:
    """With statistics, norms and offsets that are not the initial ones, which hide mistakes."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
        if isinstance(part, nn.BatchNorm1d | nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, 0, 0.2)
    return module.eval()


def heads(fusion: str, channels: int = 17, hidden: int = 16) -> tuple[SensorEncoder, ActionExpert]:
    torch.manual_seed(1)
    encoder = SensorEncoder(channels=channels, window=65, hidden=hidden, output=24)
    expert = ActionExpert(
        vl_dim=40, sensor_dim=24, hidden=32, horizon=8, action_dim=7, fusion=fusion
    )
    trained_looking(encoder)
    trained_looking(expert)
    return encoder, expert


def plain(encoder: SensorEncoder, expert: ActionExpert, vl: Tensor, window: Tensor) -> Tensor:
    delta: Tensor = expert(vl.unsqueeze(0), encoder(window.unsqueeze(0)))[1][0]
    return delta


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("tokens", [1, 6])
@torch.inference_mode()
def test_is_what_the_plain_modules_give(fusion: str, tokens: int) -> None:
    encoder, expert = heads(fusion)
    fused = FusedHeads(encoder, expert, "float32")
    for _ in range(3):
        vl, window = torch.randn(tokens, 40), torch.randn(65, 17)
        delta = fused.step(window, *fused.prepare(vl))
        expected = plain(encoder, expert, vl, window)
        torch.testing.assert_close(delta, expected, atol=CLOSE, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.inference_mode()
def test_prepared_features_serve_every_step(fusion: str) -> None:
    encoder, expert = heads(fusion)
    fused = FusedHeads(encoder, expert, "float32")
    vl = torch.randn(2, 40)
    prepared = fused.prepare(vl)
    for _ in range(3):
        window = torch.randn(65, 17)
        expected = plain(encoder, expert, vl, window)
        torch.testing.assert_close(fused.step(window, *prepared), expected, atol=CLOSE, rtol=0)


@torch.inference_mode()
def test_full_size_is_what_the_plain_modules_give() -> None:
    torch.manual_seed(2)
    encoder = SensorEncoder(channels=1026, window=65, hidden=512, output=3072)
    expert = ActionExpert(vl_dim=2048, sensor_dim=3072, hidden=1024, horizon=8, action_dim=7)
    trained_looking(encoder)
    trained_looking(expert)
    vl, window = torch.randn(1, 2048), torch.randn(65, 1026)
    expected = plain(encoder, expert, vl, window)
    fused = FusedHeads(encoder, expert, "float32")
    torch.testing.assert_close(fused.step(window, *fused.prepare(vl)), expected, atol=CLOSE, rtol=0)


@pytest.mark.parametrize(("precision", "error"), [("float16", 0.01), ("bfloat16", 0.1)])
@torch.inference_mode()
def test_a_lower_precision_is_close_but_not_the_same(precision: str, error: float) -> None:
    encoder, expert = heads("concat")
    fused = FusedHeads(encoder, expert, precision)
    vl, window = torch.randn(1, 40), torch.randn(65, 17)
    delta = fused.step(window, *fused.prepare(vl))
    expected = plain(encoder, expert, vl, window)
    torch.testing.assert_close(delta, expected, atol=error, rtol=0)
    assert (delta - expected).abs().max() > 1e-5


@torch.inference_mode()
def test_batch_normalisation_goes_into_the_convolution() -> None:
    torch.manual_seed(3)
    convolution = nn.Conv1d(5, 4, kernel_size=3, bias=False)
    normalisation = nn.BatchNorm1d(4)
    trained_looking(normalisation)
    rows = torch.randn(3, 5)
    folded = Affine.of_convolution(convolution, normalisation).pack("float32")
    expected = normalisation(convolution(rows.T.unsqueeze(0)))[0, :, 0]
    torch.testing.assert_close(folded(rows.reshape(1, 15))[0], expected)


def test_batch_normalisation_without_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match="without running statistics"):
        Affine.of_convolution(
            nn.Conv1d(5, 4, kernel_size=3), nn.BatchNorm1d(4, track_running_stats=False)
        )


@torch.inference_mode()
def test_maps_compose_stack_and_split() -> None:
    torch.manual_seed(4)
    first, second = nn.Linear(6, 5), nn.Linear(5, 4)
    x = torch.randn(3, 6)
    composed = Affine.of(second).after(Affine.of(first)).pack("float32")
    torch.testing.assert_close(composed(x), second(first(x)))
    both = Affine.stacked([Affine.of(first), Affine.of(first).outputs(1, 3)]).pack("float32")
    torch.testing.assert_close(both(x), torch.cat([first(x), first(x)[:, 1:3]], dim=1))
    left, right = Affine.of(first).split_inputs(2)
    sum_ = left.pack("float32")(x[:, :2]) + right.pack("float32")(x[:, 2:])
    torch.testing.assert_close(sum_, first(x))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_only_vision_alone_leaves_the_sensor_unread(fusion: str) -> None:
    encoder, expert = heads(fusion)
    projection = encoder.projection[4]
    assert isinstance(projection, nn.Linear)
    fused = fuse(expert, Affine.of(projection), "float32")
    assert fused.reads_sensor == (fusion != "none")


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_reproduces_the_reference(name: str) -> None:
    """What the nodes run, with the checkpoints of the reference implementation."""
    trained = load_policy_heads(PARITY / f"{name}.pt", fusion_of(name))
    arrays = np.load(PARITY / f"{name}.npz")
    fused = FusedHeads(trained.encoder, trained.expert, "float32")
    cases = [torch.tensor(arrays[key]) for key in ("vl_tokens", "sensor", "delta")]
    for tokens, sensor, delta in zip(*cases, strict=True):
        window = F.interpolate(sensor.T.unsqueeze(0), size=65, mode="linear")[0].T
        found = fused.step(window, *fused.prepare(tokens))
        torch.testing.assert_close(found, delta, atol=CLOSE, rtol=0)
