"""A folder with a Qwen2.5-VL in it: whether all of it is there, whole and of the right kind.

Owns which files there have to be, what may be in them and what is said when they are not so. Does
not own where the folder comes from. Reads no tensors; imports torch and transformers, but no model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLConfig

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.qwen.patches import MERGE, PATCH
from vla_inference_ros.model.state_file import listed

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
FILES = ["config.json", "tokenizer.json", "model*.safetensors", _INDEX]  # all that is needed
EXAMPLE = "Qwen/Qwen2.5-VL-3B-Instruct"
_MODEL_TYPE = "qwen2_5_vl"
_VISION = {  # what the patches and their order are made for
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "temporal_patch_size": 2,
    "window_size": 112,
    "in_channels": 3,
}
_MARKERS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's folder with all that it needs, whole and of the right kind. ``weights`` are the
    files of its tensors, which are not read; ``config`` is transformers' ``Qwen2_5_VLConfig``.
    """

    folder: Path
    weights: tuple[Path, ...]
    config: Any
    tokenizer: Tokenizer


def lack(folder: Path) -> str | None:
    """What the folder lacks of a model's files, in words; None if all are there."""
    try:
        for name in ("config.json", "tokenizer.json"):
            if not (folder / name).is_file():
                return f"no {name}"
        missing = [file.name for file in _weights(folder) if not file.is_file()]
    except FileNotFoundError:
        return f"no weights ({_WEIGHTS})"
    except PermissionError as error:
        return f"no files that this user may read ({error.strerror})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"a broken {_INDEX}"
    return f"no {listed(missing)}" if missing else None


def check_folder(folder: Path) -> ModelFiles:
    """The folder's files, read as far as their size allows. Raises :class:`ModelError` for a folder
    that lacks something, and for files that are cut short, broken or of another kind of model.
    """
    if lacking := lack(folder):
        raise ModelError(
            f"model {folder} has {lacking}: give a folder of save_pretrained, all of it"
        )
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"model {folder} has a PEFT adapter beside the model: merge it (merge_and_unload) and "
            "save the result"
        )
    weights = tuple(_weights(folder))
    for file in weights:
        try:
            with safe_open(file, framework="pt"):  # compares its header with its size
                pass
        except (SafetensorError, OSError) as error:
            raise not_whole(folder, error) from error
    config = _read_config(folder)
    return ModelFiles(folder, weights, config, _read_tokenizer(folder, config))


def _weights(folder: Path) -> list[Path]:
    """The files that the tensors are in, there or not. Raises many kinds for a broken index."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    shards = sorted(set(index["weight_map"].values()))
    if not shards:
        raise ValueError(f"{_INDEX} names no file")
    return [folder / shard for shard in shards]


def _read_config(folder: Path) -> Any:
    """The model's config. Raises :class:`ModelError` for a model that is not as we compute it."""
    try:
        entries = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model_type = entries.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"model {folder} has a broken config.json: {brief(error)}") from error
    if model_type != _MODEL_TYPE:
        raise ModelError(
            f"model {folder} is of type {model_type!r}, not {_MODEL_TYPE!r}: give a Qwen2.5-VL "
            f"model such as {EXAMPLE}"
        )
    if "quantization_config" in entries:
        raise ModelError(f"model {folder} is quantised: give the model that it was made from")
    try:
        config = Qwen2_5_VLConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises many kinds
        raise ModelError(f"model {folder} has a broken config.json: {brief(error)}") from error
    for name, value in _VISION.items():
        found = getattr(config.vision_config, name)
        if found != value:
            raise ModelError(f"model {folder} has vision {name} {found}, only {value} is supported")
    for part in (config.text_config, config.vision_config):
        if part.hidden_act != "silu":
            raise ModelError(f"model {folder} has activation {part.hidden_act}, not silu")
    rope = config.text_config.rope_parameters.get("rope_type")
    if rope != "default":
        raise ModelError(f"model {folder} has rope_type {rope}, only default is supported")
    if set(config.text_config.layer_types) != {"full_attention"}:
        raise ModelError(f"model {folder} has sliding-window attention, which is not supported")
    return config


def _read_tokenizer(folder: Path, config: Any) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises bare ones
        raise ModelError(f"model {folder} has a broken tokenizer.json: {brief(error)}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = {marker: tokenizer.token_to_id(marker) for marker in _MARKERS}
    for marker, token in ids.items():
        if token is None or tokenizer.encode(marker, add_special_tokens=False).ids != [token]:
            raise ModelError(
                f"model {folder} has a tokenizer.json without the token {marker}: take that of "
                f"{EXAMPLE}"
            )
        if token >= config.text_config.vocab_size:
            raise ModelError(
                f"model {folder} has a tokenizer.json of another model: {marker} is {token}, there "
                f"are {config.text_config.vocab_size} embeddings"
            )
    for marker, expected in (
        ("<|image_pad|>", config.image_token_id),
        ("<|vision_start|>", config.vision_start_token_id),
    ):
        if ids[marker] != expected:
            raise ModelError(
                f"model {folder} has a tokenizer.json of another model: {marker} is {ids[marker]}, "
                f"config.json says {expected}"
            )
    return tokenizer


def not_whole(folder: Path, error: Exception) -> ModelError:
    """What is to be said of weights that cannot be read."""
    return ModelError(
        f"model {folder} cannot be loaded ({brief(error)}): are its files whole? copy or "
        "download them again"
    )


def brief(error: Exception) -> str:
    """The error's kind and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
