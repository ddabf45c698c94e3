"""Brings a full checkpoint's vision-language weights, plain or LoRA, into the loaded model.

Owns the checks and the merge. Does not own how the model or the weights are loaded, what the
weights are called, nor how strongly an adapter counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.qwen.lora_config import LoraConfig, config_of_training
from vla_inference_ros.model.qwen.vl_state import Adapter, sort_vl_state
from vla_inference_ros.model.state_file import all_finite, listed


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a checkpoint does to the model.

    ``base`` is whether all its weights are replaced, ``adapted`` names the layers that LoRA is
    merged into, ``ranks`` and ``scaling`` are theirs, ``ignored`` the entries of no use for
    features.
    """

    base: bool
    adapted: tuple[str, ...]
    ranks: tuple[int, ...]
    scaling: str
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        done = ["all weights of the VLM replaced"] if self.base else []
        if self.adapted:
            done.append(
                f"LoRA of rank {_numbers(self.ranks)} merged into {len(self.adapted)} layers with "
                + self.scaling
            )
        if self.ignored:
            done.append(f"not used: {listed(self.ignored)}")
        return "; ".join(done) or "nothing for the VLM"


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Weights, adapters and their scales by names in the model, and what there is to say."""

    base: dict[str, Tensor]
    adapters: dict[str, Adapter]
    scales: dict[str, float]
    report: MergeReport


def has_lora(state: Mapping[str, Tensor]) -> bool:
    """Whether anything in the state is of an adapter."""
    return any("lora_" in key for key in state)


def check_vl_state(
    state: Mapping[str, Tensor],
    targets: Mapping[str, Tensor] | None,
    lora: LoraConfig | None = None,
) -> MergeReport:
    """What :func:`merge_vl_state` would do, with a model of which ``targets`` is the state dict.

    They may be without values, on torch's device ``meta``. Without targets all is checked but names
    and shapes. Raises :class:`ModelError`.
    """
    return _plan(state, targets, lora).report


def merge_vl_state(
    model: nn.Module, state: Mapping[str, Tensor], lora: LoraConfig | None = None
) -> MergeReport:
    """Write the state's weights into ``model``, transformers' ``Qwen2_5_VLModel``, in place.

    Weights in the state replace the model's; then W + scale * B A is computed in float32 and kept
    in the model's dtype. The scale is not in a state dict: ``lora`` says it, or without it, for
    adapters of the training code's rank, that code. Raises :class:`ModelError`, and leaves the
    model as it is, unless the state holds all weights or none, each in one way, and everything
    fits; also, with a model that is of no more use, for numbers beyond its dtype's range.
    """
    targets = model.state_dict()  # shares the model's memory
    plan = _plan(state, targets, lora)
    with torch.no_grad():
        for name, tensor in plan.base.items():
            if name.removesuffix(".weight") not in plan.adapters:
                targets[name].copy_(tensor)
                if tensor.dtype != targets[name].dtype:
                    _check_range(name, targets[name])
        for layer, adapter in plan.adapters.items():
            target = targets[f"{layer}.weight"]
            start = plan.base.get(f"{layer}.weight", target).to(target.device, torch.float32)
            down, up = (side.to(start) for side in (adapter.down, adapter.up))
            target.copy_(torch.addmm(start, up, down, alpha=plan.scales[layer]))
            _check_range(f"{layer}.weight", target)
    return plan.report


def _plan(
    state: Mapping[str, Tensor], targets: Mapping[str, Tensor] | None, lora: LoraConfig | None
) -> _Plan:
    base, adapters, ignored = sort_vl_state(state)
    if targets is not None:
        _check_base(base, targets)
    _check_adapters(adapters, targets)
    _check_numbers(base)
    _check_numbers({f"{layer}.lora_A": adapter.down for layer, adapter in adapters.items()})
    _check_numbers({f"{layer}.lora_B": adapter.up for layer, adapter in adapters.items()})
    ranks = {adapter.layer: len(adapter.down) for adapter in adapters.values()}
    scales: dict[str, float] = {}
    scaling = ""
    if adapters:
        lora = lora or config_of_training(ranks.values())
        if lora.needs_base and not base:
            raise ModelError(
                f"{lora.origin} has {listed(lora.needs_base)}, which also changed weights that the "
                "checkpoint does not hold: save the whole model's state dict, or merge it in "
                "training (merge_and_unload)"
            )
        alphas = lora.alphas(ranks)
        scales = {
            layer: lora.scale(alphas[adapter.layer], ranks[adapter.layer])
            for layer, adapter in adapters.items()
        }
        kind = "rank-stabilised scale" if lora.rank_stabilised else "scale"
        origin = lora.origin + (f", trained on {lora.trained_on}" if lora.trained_on else "")
        scaling = (
            f"alpha {_numbers(alphas.values())}, {kind} {_numbers(scales.values())} ({origin})"
        )
    report = MergeReport(
        bool(base), tuple(adapters), tuple(sorted({*ranks.values()})), scaling, tuple(ignored)
    )
    return _Plan(base, adapters, scales, report)


def _numbers(values: Iterable[float]) -> str:
    return " and ".join(f"{value:.6g}" for value in sorted({*values}))


def _check_base(base: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
    if unknown := [name for name in base if name not in targets]:
        raise ModelError(
            f"the VLM weights are of another model, which also has {listed(unknown)}: give the "
            "model that was trained"
        )
    if base and (missing := [name for name in targets if name not in base]):
        raise ModelError(
            f"the VLM weights are neither all nor only LoRA: {len(missing)} of {len(targets)} "
            f"lack, {listed(missing)}; save the whole model's state dict"
        )
    wrong = [
        f"{name} is {tuple(tensor.shape)}, not {tuple(targets[name].shape)}"
        for name, tensor in base.items()
        if tensor.shape != targets[name].shape
    ]
    if wrong:
        raise ModelError(f"the VLM weights do not fit the model: {listed(wrong)}")


def _check_adapters(adapters: Mapping[str, Adapter], targets: Mapping[str, Tensor] | None) -> None:
    """Without targets, only whether the factors fit each other."""
    shapes: dict[str, tuple[int, ...] | None] = dict.fromkeys(adapters)
    if targets is not None:
        if unknown := [layer for layer in adapters if f"{layer}.weight" not in targets]:
            raise ModelError(
                f"the LoRA weights are for layers that the model does not have: {listed(unknown)}; "
                "give the model that was trained"
            )
        shapes = {layer: tuple(targets[f"{layer}.weight"].shape) for layer in adapters}
    wrong = [
        f"{layer} is {shapes[layer] or 'of any size'}, its lora_A {tuple(adapter.down.shape)} and "
        f"lora_B {tuple(adapter.up.shape)}"
        for layer, adapter in adapters.items()
        if not _fits(adapter, shapes[layer])
    ]
    if wrong:
        raise ModelError(f"the LoRA weights do not fit the model: {listed(wrong)}")


def _fits(adapter: Adapter, weight: tuple[int, ...] | None) -> bool:
    down, up = adapter.down.shape, adapter.up.shape
    if not len(down) == len(up) == 2 or not down[0] == up[1] > 0:
        return False
    return weight is None or (up[0], down[1]) == weight


def _check_numbers(tensors: Mapping[str, Tensor]) -> None:
    if strange := [name for name, tensor in tensors.items() if not _is_plain(tensor)]:
        raise ModelError(
            f"the VLM weights have tensors that are not plain floating point: {listed(strange)}; "
            "save them without quantisation"
        )
    if broken := [name for name, tensor in tensors.items() if not all_finite(tensor)]:
        raise ModelError(f"the VLM weights have NaN or infinite numbers: {listed(broken)}")


def _check_range(name: str, tensor: Tensor) -> None:
    if not all_finite(tensor):
        raise ModelError(
            f"the VLM weights have numbers in {name} that {tensor.dtype} cannot hold: choose "
            "another dtype"
        )


def _is_plain(tensor: Tensor) -> bool:
    wide = tensor.element_size() > 1  # not float8
    return (
        tensor.is_floating_point()
        and wide
        and tensor.layout == torch.strided
        and not tensor.is_meta
    )
