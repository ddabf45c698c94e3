"""Loads Qwen2.5-VL, without its language-model head, from the Hugging Face hub or a local folder.

Owns where the files come from and how the weights are read. Does not own what has to be in the
folder, which is `folder`'s, nor the prompt, nor what is computed. :func:`local_files` tells what
would be loaded, for those who only look: the imports that take long are in the loading itself.
"""

from __future__ import annotations

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
from torch import Tensor, nn

from vla_inference_ros.model.device import raise_if_out_of_memory
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.qwen.folder import (
    EXAMPLE,
    FILES,
    ModelFiles,
    brief,
    check_folder,
    lack,
    not_whole,
)
from vla_inference_ros.model.state_file import all_finite, listed

_HEAD = "lm_head."  # not needed
_TIMEOUT = 8.0  # s, for the hub's first answer


def load_qwen(model: str, dtype: torch.dtype) -> tuple[nn.Module, Tokenizer]:
    """transformers' ``Qwen2_5_VLModel`` on the CPU in eval mode without grad, and its tokenizer.

    ``model`` is a folder (it exists, or starts with ``/``, ``.`` or ``~``) or else a hub id, which
    is downloaded unless it is in the local cache. Raises :class:`ModelError`.
    """
    with _quiet():
        folder = find_folder(model)
        files = check_folder(_downloaded(model) if folder is None else folder)
        return _read_weights(files.folder, files.config, dtype), files.tokenizer


def local_files(model: str) -> ModelFiles | None:
    """What :func:`load_qwen` would load, by all of its rules but those of the tensors' names and
    sizes; None if it would download it. Asks no network. Raises :class:`ModelError`.
    """
    with _quiet():
        folder = find_folder(model)
        return None if folder is None else check_folder(folder)


def local_tensors(model: str) -> dict[str, Tensor] | None:
    """The state dict of the model that :func:`load_qwen` would load, without values, on torch's
    device ``meta``; None if it would download it. Raises :class:`ModelError`.
    """
    files = local_files(model)
    if files is None:
        return None
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

    with _quiet(), torch.device("meta"):
        tensors: dict[str, Tensor] = Qwen2_5_VLModel(files.config).state_dict()
    return tensors


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


def find_folder(model: str) -> Path | None:
    """The folder of this machine that is meant: one that is named, or a hub's model in the cache.

    None for a hub's model of which the cache lacks something. A folder that is named may lack
    anything. Raises :class:`ModelError` for what is neither a folder here nor a hub id.
    """
    if not model:
        raise ModelError(f"model is empty: give a hub id such as {EXAMPLE}, a folder, tiny or stub")
    try:
        path = Path(model).expanduser()
        is_there = path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a home that is none
        raise ModelError(f"model {model!r} cannot be a folder or hub id: {error}") from error
    if model[0] not in "/.~" and not is_there:
        cached = _cached(model)
        return cached if cached is not None and lack(cached) is None else None
    if not path.is_dir():
        raise ModelError(f"model {model} is no folder: check the path, or give a hub id")
    return path


def _cached(model: str) -> Path | None:
    try:
        return Path(
            huggingface_hub.snapshot_download(model, allow_patterns=FILES, local_files_only=True)
        )
    except errors.LocalEntryNotFoundError:
        return None
    except errors.HFValidationError as error:
        raise ModelError(
            f"model {model!r} is neither a folder here nor a hub id such as {EXAMPLE}"
        ) from error
    except RuntimeError as error:  # of pathlib, about a home
        raise ModelError(
            f"the hub's cache has no place: {error} Export HOME, or HF_HOME=FOLDER for the models"
        ) from error


def _downloaded(model: str) -> Path:
    try:
        # The download itself would wait for as long as the hub keeps silent.
        huggingface_hub.HfApi().model_info(model, timeout=_TIMEOUT)
        print(f"downloading {model} from the hub; this takes a while", file=sys.stderr, flush=True)
        return Path(huggingface_hub.snapshot_download(model, allow_patterns=FILES))
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
            f"model {model} is not in the local cache and cannot be downloaded ({brief(error)}): "
            f"no network? download it once with `hf download {model}`, or give a local folder"
        ) from error


def _read_weights(folder: Path, config: Any, dtype: torch.dtype) -> nn.Module:
    # Imported here: it takes seconds, and who only looks at the files needs it not.
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VLForConditionalGeneration,
    )

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
        raise not_whole(folder, error) from error
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
    if dtype == torch.float16:  # reaches 65504; the others reach as far as what is saved
        beyond = [name for name, tensor in network.state_dict().items() if not all_finite(tensor)]
        if beyond:
            raise ModelError(
                f"model {folder} has numbers beyond {dtype}: {listed(beyond)}; choose another dtype"
            )
    return network.eval().requires_grad_(False)
