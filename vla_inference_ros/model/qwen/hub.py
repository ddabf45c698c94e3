"""Loads Qwen2.5-VL, without its language-model head, from the Hugging Face hub or a local folder.

Owns where the files come from, that they are whole and of the right kind, and what is said when
they are not. Does not own the prompt, nor what is computed.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
from huggingface_hub import errors
from tokenizers import Tokenizer
from torch import nn
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLForConditionalGeneration

from vla_inference_ros.model.device import raise_if_out_of_memory
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.qwen.patches import MERGE, PATCH
from vla_inference_ros.model.state_file import listed

_MODEL_TYPE = "qwen2_5_vl"
_EXAMPLE = "Qwen/Qwen2.5-VL-3B-Instruct"
_FILES = ["config.json", "tokenizer.json", "model*.safetensors", "model.safetensors.index.json"]
_HEAD = "lm_head."  # not needed
_TIMEOUT = 8.0  # s, for the hub's first answer
_VISION = {  # what the patches and their order are made for
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "temporal_patch_size": 2,
    "window_size": 112,
    "in_channels": 3,
}
_MARKERS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")


def load_qwen(model: str, dtype: torch.dtype) -> tuple[nn.Module, Tokenizer]:
    """transformers' ``Qwen2_5_VLModel`` on the CPU in eval mode without grad, and its tokenizer.

    ``model`` is a folder (it exists, or starts with ``/``, ``.`` or ``~``) or else a hub id, which
    is downloaded unless it is in the local cache. Raises :class:`ModelError`.
    """
    with _quiet():
        folder = _find(model)
        config = _read_config(folder)
        tokenizer = _read_tokenizer(folder, config)
        return _read_weights(folder, config, dtype), tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers and the hub from writing: what matters is raised."""
    loggers = transformers.utils.logging, huggingface_hub.utils.logging
    levels = [logger.get_verbosity() for logger in loggers]
    had_bars = transformers.utils.logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.set_verbosity(level)
        if had_bars:
            transformers.utils.logging.enable_progress_bar()


def _find(model: str) -> Path:
    """The folder with all files of the model."""
    if not model:
        raise ModelError(
            f"model is empty: give a hub id such as {_EXAMPLE}, a folder, tiny or stub"
        )
    try:
        path = Path(model).expanduser()
        is_there = path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a home that is none
        raise ModelError(f"model {model!r} cannot be a folder or hub id: {error}") from error
    if model[0] in "/.~" or is_there:
        if not path.is_dir():
            raise ModelError(f"model {model} is no folder: check the path, or give a hub id")
    else:
        cached = _cached(model)
        path = cached if cached is not None and _lack(cached) is None else _downloaded(model)
    if lack := _lack(path):
        raise ModelError(f"model {path} has {lack}: give a folder of save_pretrained, all of it")
    if (path / "adapter_config.json").exists():
        raise ModelError(
            f"model {path} has a PEFT adapter beside the model: merge it (merge_and_unload) and "
            "save the result"
        )
    return path


def _lack(folder: Path) -> str | None:
    """What the folder lacks, in words."""
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            return f"no {name}"
    if (folder / "model.safetensors").is_file():
        return None
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        shards = sorted(set(index["weight_map"].values()))
    except FileNotFoundError:
        return "no weights (model.safetensors)"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "a broken model.safetensors.index.json"
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    return f"no {listed(missing)}" if missing else None


def _cached(model: str) -> Path | None:
    try:
        return Path(
            huggingface_hub.snapshot_download(model, allow_patterns=_FILES, local_files_only=True)
        )
    except errors.LocalEntryNotFoundError:
        return None
    except errors.HFValidationError as error:
        raise ModelError(
            f"model {model!r} is neither a folder here nor a hub id such as {_EXAMPLE}"
        ) from error


def _downloaded(model: str) -> Path:
    try:
        # The download itself would wait for as long as the hub keeps silent.
        huggingface_hub.HfApi().model_info(model, timeout=_TIMEOUT)
        print(f"downloading {model} from the hub; this takes a while", file=sys.stderr, flush=True)
        return Path(huggingface_hub.snapshot_download(model, allow_patterns=_FILES))
    except errors.GatedRepoError as error:
        raise ModelError(
            f"model {model} is gated: accept its terms on the hub and run `hf auth login`, or give "
            "a local folder"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"model {model} is neither a folder here nor on the hub (or it is private): check the "
            "name, or run `hf auth login`"
        ) from error
    except Exception as error:  # of the HTTP library, the disk, the cache
        raise ModelError(
            f"model {model} is not in the local cache and cannot be downloaded ({_brief(error)}): "
            f"no network? download it once with `hf download {model}`, or give a local folder"
        ) from error


def _read_config(folder: Path) -> Any:
    """The model's config. Raises :class:`ModelError` for a model that is not as we compute it."""
    try:
        entries = json.loads((folder / "config.json").read_text())
        model_type = entries.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"model {folder} has a broken config.json: {_brief(error)}") from error
    if model_type != _MODEL_TYPE:
        raise ModelError(
            f"model {folder} is of type {model_type!r}, not {_MODEL_TYPE!r}: give a Qwen2.5-VL "
            f"model such as {_EXAMPLE}"
        )
    if "quantization_config" in entries:
        raise ModelError(f"model {folder} is quantised: give the model that it was made from")
    try:
        config = Qwen2_5_VLConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises many kinds
        raise ModelError(f"model {folder} has a broken config.json: {_brief(error)}") from error
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
        raise ModelError(f"model {folder} has a broken tokenizer.json: {_brief(error)}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = {marker: tokenizer.token_to_id(marker) for marker in _MARKERS}
    for marker, token in ids.items():
        if token is None or tokenizer.encode(marker, add_special_tokens=False).ids != [token]:
            raise ModelError(
                f"model {folder} has a tokenizer.json without the token {marker}: take that of "
                f"{_EXAMPLE}"
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


def _read_weights(folder: Path, config: Any, dtype: torch.dtype) -> nn.Module:
    try:
        # Loaded alone, Qwen2_5_VLModel does not find weights under the names of every release.
        loaded = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # they are in what is known of the loading
            output_loading_info=True,
        )
    except Exception as error:  # transformers and safetensors raise many kinds
        raise_if_out_of_memory(error)
        raise ModelError(
            f"model {folder} cannot be loaded ({_brief(error)}): are its files whole? copy or "
            "download them again"
        ) from error
    network: nn.Module = loaded[0].model
    info: dict[str, Any] = loaded[1]
    missing = [key for key in info["missing_keys"] if not key.startswith(_HEAD)]
    wrong_sizes = [str(entry[0]) for entry in info["mismatched_keys"]]
    for what, names in (
        ("has weights of other sizes than config.json says", wrong_sizes),
        ("lacks weights", missing),
        ("has weights of no layer", info["unexpected_keys"]),
        ("has weights that cannot be loaded", info["error_msgs"]),
    ):
        if names:
            raise ModelError(f"model {folder} {what}: {listed(sorted(names))}; download it again")
    return network.eval().requires_grad_(False)


def _brief(error: Exception) -> str:
    """The error's kind and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
