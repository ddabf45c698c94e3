"""The model's files and the checkpoint: whether they are there, whole, and belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vla_inference_ros.doctor.computing import BUILT_IN
from vla_inference_ros.doctor.result import Result, ok, problem, skipped, warning


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The VLM's files. ``folder`` is None while a hub's model is not, or not whole, in the cache;
    ``size`` is that of the weights [bytes], ``hidden_size`` that of its features; 0 if not known.
    ``error`` is the loader's own words, ``unchecked`` says why it could not be asked.
    """

    model: str
    folder: Path | None = None
    size: float = 0.0
    hidden_size: int = 0
    error: str = ""
    unchecked: str = ""


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
    """Looks for the files on this machine by the loader's own rules; asks no network, and leaves
    the weights unread.
    """
    if model in BUILT_IN:
        return ModelFacts(model)
    try:
        from vla_inference_ros.model.interface import ModelError
        from vla_inference_ros.model.qwen.hub import local_files
    except (ImportError, OSError, RuntimeError) as error:  # a package, or a library in it
        reason = " ".join(str(error).split())
        return ModelFacts(model, unchecked=f"{type(error).__name__}: {reason[:200]}")
    try:
        files = local_files(model)
    except ModelError as error:
        return ModelFacts(model, error=str(error))
    if files is None:
        return ModelFacts(model)
    size = sum(file.stat().st_size for file in files.weights)
    return ModelFacts(model, files.folder, float(size), files.config.text_config.hidden_size)


def cache(environment: Mapping[str, str]) -> Path:
    """Where a hub's model is downloaded to."""
    return Path(environment.get("HF_HOME") or "~/.cache/huggingface")


def model_files(facts: ModelFacts, free_bytes: float) -> Result:
    """Whether the VLM can be loaded, or has to be downloaded first (``free_bytes``: for it)."""
    check = "model"
    if facts.model in BUILT_IN:
        return ok(check, f"{facts.model}, which needs no files")
    if facts.unchecked:
        return skipped(check, f"the packages that read it cannot be imported: {facts.unchecked}")
    if facts.error:
        return problem(
            check,
            facts.error,
            "give model:= a hub id such as Qwen/Qwen2.5-VL-3B-Instruct, a whole folder of "
            "save_pretrained, tiny or stub; 'hf download --force-download' replaces a damaged copy",
        )
    if facts.folder is None:
        return warning(
            check,
            f"{facts.model} is not whole in the local cache: the first start downloads it (7.5 GB; "
            f"{free_bytes / 1e9:.0f} GB are free)",
            f"hf download {facts.model}, while there is a network and time",
        )
    return ok(check, f"{facts.folder}, {facts.size / 1e9:.1f} GB of weights")


def gather_checkpoint(
    model: str, checkpoint: str, fusion: str, dtype: str = "float32"
) -> CheckpointFacts:
    """Loads the heads on the CPU, as the action expert would, and computes one chunk.

    A ``dtype`` that is for GPUs alone is tried as float32.
    """
    from vla_inference_ros.model.checkpoint import load_vl_state
    from vla_inference_ros.model.interface import ModelError
    from vla_inference_ros.model.load import load_action_model

    tried = "float32" if dtype == "float8" else dtype
    try:
        loaded = load_action_model(
            model, checkpoint, "cpu", tried, fusion, torch_threads=1, stub_seconds=0.0
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
    return remedy_of_file(error) or (
        "copy the file again, or save the two networks' state_dict() alone, of the rig's shapes"
    )


def remedy_of_file(error: str) -> str:
    """What to do about a file that cannot be read, by what the loader says of it, or ""."""
    if "pickle_protocol" in error:
        return "where it was made: torch.load it, and torch.save it without pickle_protocol"
    if " twice, as " in error:
        return "save the state dict of each network once, without its wrappers"
    if "does not exist" in error or "folder" in error or "cannot be read" in error:
        return "give checkpoint:= the path of a file that this user may read"
    if any(word in error for word in ("is cut short", "is empty", "plain pickle", "run code")):
        return "copy the file again, or save the networks' state_dict() alone"
    return ""
