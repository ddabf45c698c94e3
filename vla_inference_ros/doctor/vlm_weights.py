"""What the checkpoint has for the VLM: whether ``vlm`` would take it, and how it scales LoRA."""

from __future__ import annotations

from dataclasses import dataclass

from vla_inference_ros.doctor.result import Result, ok, problem, skipped
from vla_inference_ros.doctor.weights import remedy_of_file


@dataclass(frozen=True, slots=True)
class VlmCheckpoint:
    """What the node ``vlm`` is to take, by its parameters' names."""

    model: str
    checkpoint: str
    adapter_config: str = ""
    lora_alpha: float = 0.0

    @property
    def is_asked_for(self) -> bool:
        """Whether there is anything to check."""
        return bool(self.checkpoint or self.adapter_config or self.lora_alpha)


@dataclass(frozen=True, slots=True)
class VlmCheckpointFacts:
    """``error`` is the loader's own words, ``summary`` what it would say, ``unchecked`` why nobody
    could ask it. ``whole`` is whether the model is here, for names and shapes to be compared.
    """

    error: str = ""
    unchecked: str = ""
    summary: str = ""
    whole: bool = True


def gather_vlm_checkpoint(asked: VlmCheckpoint) -> VlmCheckpointFacts:
    """Reads the file and its LoRA's settings by the loader's own rules, without the model."""
    from vla_inference_ros.model.interface import ModelError
    from vla_inference_ros.model.load import check_vl_checkpoint

    try:
        summary, whole = check_vl_checkpoint(
            asked.model,
            asked.checkpoint,
            adapter_config=asked.adapter_config,
            lora_alpha=asked.lora_alpha,
        )
    except ModelError as error:
        return VlmCheckpointFacts(error=str(error))
    except ImportError as error:
        return VlmCheckpointFacts(unchecked=f"{type(error).__name__}: {error}")
    return VlmCheckpointFacts(summary=summary, whole=whole)


def vlm_checkpoint_fits(facts: VlmCheckpointFacts) -> Result:
    """Whether the node ``vlm`` would take it, and what it would do with it."""
    check = "checkpoint of vlm"
    if facts.unchecked:
        return skipped(check, f"the packages that read it cannot be imported: {facts.unchecked}")
    if facts.error:
        return problem(check, facts.error, _remedy(facts.error))
    unknown = "" if facts.whole else "; whether it fits the model is known once that is here"
    return ok(check, facts.summary + unknown)


def _remedy(error: str) -> str:
    if "there is none" in error:
        return "leave adapter_config:= and lora_alpha:= out, or give checkpoint:=FILE"
    if "does not go with" in error:
        return "leave checkpoint:= out, or give model:= the VLM that it was trained with"
    if any(word in error for word in ("lora_alpha", "adapter_config", "alphas for")):
        return "adapter_config:= PEFT's file of this training, or lora_alpha:= its alpha"
    return remedy_of_file(error) or (
        "give the checkpoint, and with model:= the VLM, of one training run"
    )
