"""Sorts a checkpoint's vision-language weights: plain ones, and LoRA's factors by their layers.

Owns the names that transformers' releases and PEFT give to them. Does not own what becomes of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.state_file import listed

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


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """The two factors of a layer's change: ``down`` (rank, in) and ``up`` (out, rank).

    ``layer`` is the layer's name in the model that was trained.
    """

    layer: str
    down: Tensor
    up: Tensor


def sort_vl_state(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Adapter], list[str]]:
    """The plain weights and the adapters by their names in the model, and what is not used.

    Raises :class:`ModelError` for what is more than LoRA, and for a name that is there twice.
    """
    base: dict[str, Tensor] = {}
    lora: dict[str, dict[str, dict[str, Tensor]]] = {}  # adapter -> A or B -> layer
    trained_as: dict[str, str] = {}  # of layers
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
            trained_as[name] = key.removeprefix(_PEFT).partition(".lora_")[0]
        elif "lora_" in name or "modules_to_save" in name or "original_module" in name:
            unknown.append(key)
            continue
        else:
            found, name = base, name.replace(".base_layer.", ".")
        if name in found:
            first = next(own for own, other in state.items() if other is found[name])
            raise ModelError(
                f"the VLM weights have {name} twice, as {first} and as {key}: save one of the two"
            )
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
    adapters: dict[str, Adapter] = {}
    for sides in lora.values():
        if lonely := sorted(sides["A"].keys() ^ sides["B"].keys()):
            raise ModelError(
                f"the VLM weights have lora_A or lora_B, not both, of {listed(lonely)}"
            )
        adapters = {
            layer: Adapter(trained_as[layer], down, sides["B"][layer])
            for layer, down in sides["A"].items()
        }
    return base, adapters, ignored


def _name_in_model(key: str) -> str:
    name = key.removeprefix(_PEFT)
    for prefix, own in _PREFIXES:
        if name.startswith(prefix):
            return own + name.removeprefix(prefix)
    return name
