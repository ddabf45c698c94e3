"""What a checkpoint changes in the vision-language model, for who loads it and who only looks.

Owns how the file, its LoRA settings and the merge go together. Imports torch, but no transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vla_inference_ros.model.checkpoint import vl_state_of
from vla_inference_ros.model.parts import read_parts
from vla_inference_ros.model.qwen.lora import check_vl_state, has_lora, merge_vl_state
from vla_inference_ros.model.qwen.lora_config import LoraConfig, find_lora_config


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """The tensors that a checkpoint has for the model, and how its LoRA is scaled."""

    about: str
    state: Mapping[str, Tensor]
    lora: LoraConfig | None
    unused: str

    def apply(self, network: nn.Module) -> str:
        """Put them into the model, and say what was done. Raises :class:`ModelError`."""
        return self._told(str(merge_vl_state(network, self.state, self.lora)))

    def check(self, targets: Mapping[str, Tensor] | None) -> str:
        """What :meth:`apply` would say, or raise, for a model with such a state dict; None if it
        is not here to be asked.
        """
        return self._told(str(check_vl_state(self.state, targets, self.lora)))

    def _told(self, report: str) -> str:
        if not self.state:
            return f"{self.about} leaves the model's weights as they are{self.unused}"
        return f"{self.about}: {report}{self.unused}"


def read_changes(checkpoint: str, adapter_config: str = "", lora_alpha: float = 0.0) -> Changes:
    """What the file says; the others say how its LoRA is scaled, as in :func:`find_lora_config`.

    Raises :class:`ModelError`.
    """
    parts = read_parts(checkpoint)
    state = vl_state_of(parts)
    about = f"checkpoint {checkpoint}" + (f" ({parts.misnamed})" if parts.misnamed else "")
    if has_lora(state):
        return Changes(about, state, find_lora_config(checkpoint, adapter_config, lora_alpha), "")
    given = adapter_config or (f"lora_alpha {lora_alpha:g}" if lora_alpha else "")
    return Changes(about, state, None, f"; no LoRA that {given} could be of" if given else "")
