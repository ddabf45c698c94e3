"""Whether there is float8 here."""

from __future__ import annotations

import torch

from gpu.guard import reason
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.linear import check_precision, pack_linear


def no_float8(device: torch.device) -> str:
    """Why there is none, '' if there is. On a CPU, for tests, some versions of torch imitate it."""
    try:
        if device.type == "cuda":
            check_precision("float8", device)
        else:
            unit = torch.eye(16, device=device)
            pack_linear(unit, None, "float8")(unit)
    except (ModelError, RuntimeError) as error:
        return reason(error)
    return ""
