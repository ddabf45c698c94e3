"""How strongly a checkpoint's LoRA adapters change their layers: PEFT's scale for each.

Owns which settings say so, PEFT's ``adapter_config.json`` or a number that was given, and the
refusal of those that are more than LoRA. Does not own the adapters' tensors nor the merge.

A change is scaled by alpha / r, of rank-stabilised LoRA by alpha / sqrt(r); ``alpha_pattern`` and
``rank_pattern`` name layers of which alpha or r are others (PEFT's documentation, LoraConfig).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vla_inference_ros.core.regular_file import open_regular
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.state_file import listed

FILE = "adapter_config.json"
_OF_TRAINING = 16, 32.0  # rank and alpha of the training code, whose files do not tell alpha
# What says where adapters were put, how they were started and trained, or is used for r and alpha
# here. A later release's settings may change what is computed: what is in none of these sets and
# is switched on is refused.
_WITHOUT_EFFECT = {
    *("auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode"),
    *("peft_version", "lora_dropout", "target_modules", "exclude_modules", "layers_to_transform"),
    *("layers_pattern", "megatron_config", "megatron_core", "loftq_config", "eva_config"),
    *("corda_config", "lora_ga_config", "runtime_config", "qalora_group_size"),
    "ensure_weight_tying",
}
_USED = {
    *("peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"),
    *("bias", "init_lora_weights"),
}
_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")  # leave the base as it is
_STARTS_IN_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # put a residual in its place
_AT_THE_END = r"(.*\.)?({})$"  # where PEFT looks for a pattern in a layer's name

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True, eq=False)
class LoraConfig:
    """``origin`` says where it is from. ``rank`` and ``alpha`` hold for layers that no pattern
    names; rank None is whatever the tensors have. ``needs_base`` names settings that changed the
    base's weights too, so that the adapters fit no other; ``trained_on`` is the base's name.
    """

    origin: str
    alpha: float
    rank: int | None = None
    rank_stabilised: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    needs_base: tuple[str, ...] = ()
    trained_on: str = ""

    def scale(self, alpha: float, rank: int) -> float:
        """What the product of a layer's factors is multiplied by."""
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)

    def alphas(self, ranks: Mapping[str, int]) -> dict[str, float]:
        """The alpha of each layer, of which ``ranks`` are those of its tensors.

        Layers go by their names in the model that was trained. Raises :class:`ModelError` for
        ranks other than these settings say, for a pattern that no layer has, and for several of
        one layer: the first counted in training, but PEFT's file has them in another order.
        """
        self._refuse_unused("rank_pattern", self.rank_pattern, ranks)
        self._refuse_unused("alpha_pattern", self.alpha_pattern, ranks)
        wrong = []
        alphas = {}
        for layer, rank in ranks.items():
            said = _values(self.rank_pattern, layer) or {self.rank or rank}
            if rank not in said:
                wrong.append(f"{layer} {rank}, not {listed(sorted(map(str, said)))}")
            of_layer = _values(self.alpha_pattern, layer) or {self.alpha}
            if len(of_layer) > 1:
                raise ModelError(
                    f"{self.origin} has {len(of_layer)} alphas for {layer} by its alpha_pattern "
                    f"({listed([f'{alpha:g}' for alpha in sorted(of_layer)])}), and which one "
                    "counted in training is not in the file: leave only that one"
                )
            alphas[layer] = of_layer.pop()
        if wrong:
            raise ModelError(
                f"the LoRA weights have other ranks than {self.origin} says: {listed(wrong)}; give "
                "the file of the same training run"
            )
        return alphas

    def _refuse_unused(
        self, what: str, pattern: Mapping[str, float], layers: Iterable[str]
    ) -> None:
        unused = [key for key in pattern if not any(_is_of(key, layer) for layer in layers)]
        if unused:
            raise ModelError(
                f"{self.origin} has a {what} for {listed(unused)}, which no adapted layer of the "
                f"checkpoint is (they are {listed(sorted(layers))}): give the file of the same "
                "training run, or take the pattern out"
            )


def find_lora_config(checkpoint: str, adapter_config: str, alpha: float) -> LoraConfig | None:
    """The settings of a checkpoint's adapters; None if nothing says them.

    They are in the file ``adapter_config``, or in an ``adapter_config.json`` beside the checkpoint
    where that is "". ``alpha`` is another way to say lora_alpha, 0 for none: alone, it holds for
    layers of all ranks. Raises :class:`ModelError`, also if the two contradict each other.
    """
    if not math.isfinite(alpha) or alpha < 0:
        raise ModelError(f"lora_alpha is {alpha:g}, not a number over 0")
    try:
        file = Path(adapter_config).expanduser() if adapter_config else _beside(checkpoint)
    except (OSError, RuntimeError) as error:  # of a home that is none, of a folder that is closed
        raise ModelError(f"the file of LoRA's settings cannot be looked for: {error}") from error
    if file is None:
        return LoraConfig("lora_alpha", alpha) if alpha else None
    config = read_lora_config(file)
    if alpha and alpha != config.alpha:
        raise ModelError(
            f"lora_alpha is {alpha:g}, but {file} says {config.alpha:g}: leave lora_alpha out, or "
            "give adapter_config the file of this checkpoint"
        )
    return config


def _beside(checkpoint: str) -> Path | None:
    """PEFT's file in the checkpoint's folder, or in that of the file which a link leads to."""
    path = Path(checkpoint).expanduser()
    candidates = (path.parent / FILE, path.resolve().parent / FILE)
    return next((file for file in candidates if file.exists()), None)


def config_of_training(ranks: Iterable[int]) -> LoraConfig:
    """What holds where nothing says the settings. Raises :class:`ModelError` for ranks other than
    those of the training code, of which no alpha is known.
    """
    rank, alpha = _OF_TRAINING
    if others := sorted(set(ranks) - {rank}):
        raise ModelError(
            f"the VLM weights have LoRA of rank {' and '.join(map(str, others))}, and nothing says "
            f"their alpha (it is known to be {alpha:g} for rank {rank} alone): put the {FILE} of "
            "the training beside the checkpoint, or give adapter_config or lora_alpha"
        )
    return LoraConfig(f"the training code's, as no {FILE} says another", alpha, rank)


def read_lora_config(file: Path) -> LoraConfig:
    """PEFT's ``adapter_config.json``. Raises :class:`ModelError` for one that cannot be read, and
    for settings that are more than LoRA.
    """
    try:
        with open_regular(file) as stream:
            entries = json.loads(stream.read())
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is no JSON ({error}): copy it again") from error
    if not isinstance(entries, dict):
        raise ModelError(f"{file} holds a {type(entries).__name__}, not settings by name")
    if (kind := entries.get("peft_type", "LORA")) != "LORA":
        raise ModelError(
            f"{file} is of peft_type {kind}, not LORA: merge it in training (merge_and_unload) and "
            "save the whole model"
        )
    more = [name for name in entries if name not in _USED | _WITHOUT_EFFECT and entries[name]]
    start = entries.get("init_lora_weights")
    if start not in _STARTS and not str(start).startswith(_STARTS_IN_BASE):
        more.append("init_lora_weights")
    if more:
        raise ModelError(
            f"{file} has {listed([f'{name} {entries[name]!r}' for name in more])}, which is more "
            "than plain LoRA: merge it in training (merge_and_unload) and save the whole model"
        )
    stabilised = entries.get("use_rslora", False)
    if not isinstance(stabilised, bool):
        raise ModelError(f"{file} has use_rslora {stabilised!r}, not true or false")
    return LoraConfig(
        str(file),
        _number(file, "lora_alpha", entries.get("lora_alpha"), float),
        _number(file, "r", entries.get("r"), int),
        stabilised,
        _pattern(file, "rank_pattern", entries, int),
        _pattern(file, "alpha_pattern", entries, float),
        _changes_of_base(entries),
        str(entries.get("base_model_name_or_path") or ""),
    )


def _changes_of_base(entries: Mapping[str, Any]) -> tuple[str, ...]:
    changes = []
    if (bias := entries.get("bias", "none")) != "none":
        changes.append(f"bias {bias!r}")
    if (start := entries.get("init_lora_weights", True)) not in _STARTS:
        changes.append(f"init_lora_weights {start!r}")
    return tuple(changes)


def _number(file: Path, name: str, value: object, kind: type[Number]) -> Number:
    """A number over 0; r and its patterns are whole."""
    allowed = int if kind is int else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not 0 < value < 1e9:
        what = "no" if value is None else f"{value!r} as"
        raise ModelError(
            f"{file} has {what} {name}, not a {'whole ' if kind is int else ''}number over 0: give "
            "the file that PEFT saved with the adapter"
        )
    return kind(value)


def _pattern(
    file: Path, name: str, entries: Mapping[str, Any], kind: type[Number]
) -> dict[str, Number]:
    pattern = entries.get(name) or {}
    if not isinstance(pattern, dict):
        raise ModelError(f"{file} has a {name} that is a {type(pattern).__name__}, not by layer")
    for key in pattern:
        try:
            re.compile(_AT_THE_END.format(key))
        except re.error as error:
            raise ModelError(
                f"{file} has the {name} {key!r}, which is no regular expression ({error})"
            ) from error
    return {key: _number(file, f"{name} of {key}", value, kind) for key, value in pattern.items()}


def _is_of(key: str, layer: str) -> bool:
    """Whether a pattern's key is the end of the layer's name, from a dot on or all of it."""
    return re.match(_AT_THE_END.format(key), layer) is not None


def _values(pattern: Mapping[str, Number], layer: str) -> set[Number]:
    return {value for key, value in pattern.items() if _is_of(key, layer)}
