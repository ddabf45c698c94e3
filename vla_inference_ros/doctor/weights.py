"""The model's files and the checkpoint: whether they are there, whole, and belong together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_inference_ros.doctor.computing import BUILT_IN
from vla_inference_ros.doctor.result import Result, ok, problem, skipped, warning

_CONFIG = "config.json"
_WEIGHTS, _INDEX = "*.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The VLM's files. ``folder`` is None while a hub's model is not in the cache; ``size`` is that
    of the weights [bytes], ``hidden_size`` that of its features; 0 if not known.
    """

    model: str
    folder: Path | None = None
    size: float = 0.0
    hidden_size: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """``error`` is the loader's own words; ``summary`` its remarks, ``feature_size`` what the heads
    take, ``vl_tensors`` how many tensors of the VLM the file holds.
    """

    error: str = ""
    summary: tuple[str, ...] = ()
    feature_size: int = 0
    vl_tensors: int = 0


def gather_model(model: str) -> ModelFacts:
    """Looks for the files on this machine; asks no network."""
    if model in BUILT_IN:
        return ModelFacts(model)
    try:
        path = Path(model).expanduser()
        is_folder = bool(model) and (model[0] in "/.~" or path.exists())
    except (OSError, RuntimeError) as error:  # a name too long, a home that is none
        return ModelFacts(model, error=str(error))
    if not is_folder:
        return _cached(model)
    if not path.is_dir():
        return ModelFacts(model, error="there is no such folder")
    return _in_folder(model, path)


def model_files(facts: ModelFacts, free_bytes: float) -> Result:
    """Whether the VLM can be loaded, or has to be downloaded first (``free_bytes``: for it)."""
    check = "model"
    if facts.model in BUILT_IN:
        return ok(check, f"{facts.model}, which needs no files")
    if facts.error:
        return problem(
            check,
            f"model:={facts.model}: {facts.error}",
            "give a hub id such as Qwen/Qwen2.5-VL-3B-Instruct, a whole folder of "
            "save_pretrained, tiny or stub",
        )
    if facts.folder is None:
        return warning(
            check,
            f"{facts.model} is not in the local cache: the first start downloads it (7.5 GB; "
            f"{free_bytes / 1e9:.0f} GB are free)",
            f"hf download {facts.model}, while there is a network and time",
        )
    return ok(check, f"{facts.folder}, {facts.size / 1e9:.1f} GB of weights")


def gather_checkpoint(model: str, checkpoint: str, fusion: str) -> CheckpointFacts:
    """Loads the heads on the CPU, as the action expert would, and computes one chunk."""
    from vla_inference_ros.model.checkpoint import load_vl_state
    from vla_inference_ros.model.interface import ModelError
    from vla_inference_ros.model.load import load_action_model

    try:
        loaded = load_action_model(
            model, checkpoint, "cpu", "float32", fusion, torch_threads=1, stub_seconds=0.0
        )
        vl_tensors = len(load_vl_state(checkpoint)) if checkpoint else 0
    except ModelError as error:
        return CheckpointFacts(error=str(error))
    return CheckpointFacts("", loaded.summary, loaded.model.feature_size, vl_tensors)


def checkpoint_fits(name: str, facts: CheckpointFacts, model: ModelFacts) -> Result:
    """Whether the file ``name`` can be loaded and goes with the VLM."""
    check = "checkpoint"
    if model.model in BUILT_IN and not facts.error:
        return skipped(check, f"model:={model.model} has none")
    if facts.error:
        return problem(check, facts.error, _remedy(name, facts.error, model.model))
    if model.hidden_size and facts.feature_size != model.hidden_size:
        return problem(
            check,
            f"{name} takes features of {facts.feature_size} numbers, but {model.model} gives "
            f"{model.hidden_size}",
            "set fusion_strategy:= (concat or none) and model:= to what it was trained with",
        )
    whose = f"; {facts.vl_tensors} tensors of the VLM" if facts.vl_tensors else ""
    return ok(check, "; ".join(facts.summary[1:]) + whose)


def _remedy(name: str, error: str, model: str) -> str:
    if not name:
        return "checkpoint:=FILE, or model:=tiny for a trial with random weights"
    if model in BUILT_IN:
        return "leave checkpoint:= out, or give model:= the VLM that it was trained with"
    if "fusion" in error:
        return "fusion_strategy:= what it was trained with: concat, cross_attention, gated or none"
    if "does not exist" in error or "folder" in error or "cannot be read" in error:
        return "give checkpoint:= the path of a file that this user may read"
    return "copy the file again, or save the two networks' state_dict() alone, of the rig's shapes"


def _in_folder(model: str, folder: Path) -> ModelFacts:
    try:
        config: Any = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        text = config.get("text_config") or {}
        hidden = int(text.get("hidden_size") or config.get("hidden_size") or 0)
        size = sum(file.stat().st_size for file in folder.glob(_WEIGHTS))
        lacking = _missing_shards(folder)
    except FileNotFoundError:
        return ModelFacts(model, error=f"{folder} has no {_CONFIG}")
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        return ModelFacts(model, error=f"{folder}: its JSON files cannot be used: {error}")
    if not size:
        return ModelFacts(model, error=f"{folder} has no weights ({_WEIGHTS})")
    if lacking:
        return ModelFacts(model, error=f"{folder} lacks {', '.join(lacking)}")
    return ModelFacts(model, folder, float(size), hidden)


def _missing_shards(folder: Path) -> list[str]:
    """Files that the weights' index names and that are not there."""
    index = folder / _INDEX
    if not index.is_file():
        return []
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    return [name for name in names if not (folder / name).is_file()]


def _cached(model: str) -> ModelFacts:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        found = huggingface_hub.snapshot_download(
            model, allow_patterns=[_CONFIG, _WEIGHTS, _INDEX], local_files_only=True
        )
    except errors.LocalEntryNotFoundError:
        return ModelFacts(model)
    except errors.HFValidationError:
        return ModelFacts(model, error="it is neither a folder here nor a hub id")
    facts = _in_folder(model, Path(found))
    return ModelFacts(model) if facts.error else facts  # what lacks is downloaded
