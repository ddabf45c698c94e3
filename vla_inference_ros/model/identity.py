"""Names weights by their content, so that a message tells which ones made it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn


def weights_digest(*modules: nn.Module) -> str:
    """Eight hex digits of a SHA-256 over names, types, shapes and values of all tensors."""
    named = [item for module in modules for item in module.state_dict().items()]
    with ThreadPoolExecutor() as pool:  # hashing leaves the interpreter to the others
        digests = list(pool.map(lambda item: _digest(*item), named))
    return hashlib.sha256(b"".join(digests)).hexdigest()[:8]


def _digest(name: str, tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().flatten()
    digest = hashlib.sha256(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.digest()
