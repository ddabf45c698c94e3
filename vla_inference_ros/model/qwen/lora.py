"""Brings a full checkpoint's vision-language weights, plain or LoRA, into the loaded model.

Owns the names that transformers' releases and PEFT give to them, and the merge. Does not own how
either the model or the weights are loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.state_file import all_finite, listed

_PEFT = "base_model.model."
_HEAD = "lm_head."  # of no use for features
# The first that fits tells the name in Qwen2_5_VLModel.
_PREFIXES = (
    ("model.visual.", "visual."),
    ("model.language_model.", "language_model."),
    ("model.", "language_model."),  # older transformers
    ("visual.", "visual."),
    ("language_model.", "language_model."),
)
_LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])(?:\.(?P<adapter>[^.]+))?\.weight")


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a checkpoint did to the model.

    ``base`` is whether all its weights were replaced, ``adapted`` names the layers that LoRA was
    merged into, ``ranks`` are the ranks among them, ``ignored`` the entries of no use for features.
    """

    base: bool
    adapted: tuple[str, ...]
    ranks: tuple[int, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        done = ["all weights of the VLM replaced"] if self.base else []
        if self.adapted:
            ranks = " and ".join(map(str, self.ranks))
            done.append(f"LoRA of rank {ranks} merged into {len(self.adapted)} layers")
        if self.ignored:
            done.append(f"not used: {listed(self.ignored)}")
        return "; ".join(done) or "nothing for the VLM"


@dataclass(frozen=True, slots=True, eq=False)
class _Adapter:
    """The two factors of a layer's change: ``down`` (rank, in) and ``up`` (out, rank)."""

    down: Tensor
    up: Tensor


def merge_vl_state(
    model: nn.Module, state: Mapping[str, Tensor], alpha: float = 32.0
) -> MergeReport:
    """Write the state's weights into ``model``, transformers' ``Qwen2_5_VLModel``, in place.

    Weights in the state replace the model's; then W + alpha / rank * B A is computed in float32
    and kept in the model's dtype. ``alpha`` is not in a state dict: 32 is that of the training
    code. (PEFT's rank-stabilised scale does not show in a state dict either, and is not used
    there.) Raises :class:`ModelError`, and leaves the model as it is, unless the state holds all
    weights or none, each in one way, and everything fits.
    """
    targets = model.state_dict()  # shares the model's memory
    base, adapters, ignored = _sort(state)
    _check_base(base, targets)
    _check_adapters(adapters, targets)
    with torch.no_grad():
        for name, tensor in base.items():
            if name.removesuffix(".weight") not in adapters:
                targets[name].copy_(tensor)
        for layer, adapter in adapters.items():
            target = targets[f"{layer}.weight"]
            start = base.get(f"{layer}.weight", target).to(target.device, torch.float32)
            down, up = (side.to(start) for side in (adapter.down, adapter.up))
            target.copy_(torch.addmm(start, up, down, alpha=alpha / len(down)))
    ranks = {len(adapter.down) for adapter in adapters.values()}
    return MergeReport(bool(base), tuple(adapters), tuple(sorted(ranks)), tuple(ignored))


def _sort(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, _Adapter], list[str]]:
    """The plain weights and the adapters by their names in the model, and what is not used."""
    base: dict[str, Tensor] = {}
    lora: dict[str, dict[str, dict[str, Tensor]]] = {}  # adapter -> A or B -> layer
    ignored: list[str] = []
    unknown: list[str] = []
    for key, tensor in state.items():
        if key.removeprefix(_PEFT).startswith(_HEAD):
            ignored.append(key)
            continue
        name = _name_in_model(key)
        factor = _LORA.fullmatch(name)
        if factor is not None:
            sides = lora.setdefault(factor["adapter"] or "default", {"A": {}, "B": {}})
            found, name = sides[factor["side"]], factor["layer"]
        elif "lora_" in name or "modules_to_save" in name or "original_module" in name:
            unknown.append(key)
            continue
        else:
            found, name = base, name.replace(".base_layer.", ".")
        if name in found:
            raise ModelError(f"the VLM weights have {name} twice, the second time as {key}")
        found[name] = tensor
    if unknown:
        raise ModelError(
            f"the VLM weights have entries that are not plain LoRA: {listed(unknown)}; merge them "
            "in training (merge_and_unload) and save the whole model"
        )
    if len(lora) > 1:
        raise ModelError(
            f"the VLM weights have {len(lora)} LoRA adapters ({listed(sorted(lora))}): save only "
            "one"
        )
    adapters: dict[str, _Adapter] = {}
    for sides in lora.values():
        if lonely := sorted(sides["A"].keys() ^ sides["B"].keys()):
            raise ModelError(
                f"the VLM weights have lora_A or lora_B, not both, of {listed(lonely)}"
            )
        adapters = {layer: _Adapter(down, sides["B"][layer]) for layer, down in sides["A"].items()}
    return base, adapters, ignored


def _name_in_model(key: str) -> str:
    name = key.removeprefix(_PEFT)
    for prefix, own in _PREFIXES:
        if name.startswith(prefix):
            return own + name.removeprefix(prefix)
    return name


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
    _check_numbers(base)


def _check_adapters(adapters: Mapping[str, _Adapter], targets: Mapping[str, Tensor]) -> None:
    if unknown := [layer for layer in adapters if f"{layer}.weight" not in targets]:
        raise ModelError(
            f"the LoRA weights are for layers that the model does not have: {listed(unknown)}; "
            "give the model that was trained"
        )
    wrong = [
        f"{layer} is {tuple(targets[f'{layer}.weight'].shape)}, its lora_A "
        f"{tuple(adapter.down.shape)} and lora_B {tuple(adapter.up.shape)}"
        for layer, adapter in adapters.items()
        if not _fits(adapter, targets[f"{layer}.weight"])
    ]
    if wrong:
        raise ModelError(f"the LoRA weights do not fit the model: {listed(wrong)}")
    _check_numbers({f"{layer}.lora_A": adapter.down for layer, adapter in adapters.items()})
    _check_numbers({f"{layer}.lora_B": adapter.up for layer, adapter in adapters.items()})


def _fits(adapter: _Adapter, weight: Tensor) -> bool:
    down, up = adapter.down.shape, adapter.up.shape
    if not len(down) == len(up) == weight.ndim == 2:
        return False
    return down[0] == up[1] > 0 and (up[0], down[1]) == weight.shape


def _check_numbers(tensors: Mapping[str, Tensor]) -> None:
    if strange := [name for name, tensor in tensors.items() if not _is_plain(tensor)]:
        raise ModelError(
            f"the VLM weights have tensors that are not plain floating point: {listed(strange)}; "
            "save them without quantisation"
        )
    if broken := [name for name, tensor in tensors.items() if not all_finite(tensor)]:
        raise ModelError(f"the VLM weights have NaN or infinite numbers: {listed(broken)}")


def _is_plain(tensor: Tensor) -> bool:
    wide = tensor.element_size() > 1  # not float8
    return (
        tensor.is_floating_point()
        and wide
        and tensor.layout == torch.strided
        and not tensor.is_meta
    )
