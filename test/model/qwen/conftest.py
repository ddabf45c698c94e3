from __future__ import annotations

from pathlib import Path

import pytest
from small_qwen import save_small


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with its head, as transformers saves it."""
    return save_small(tmp_path / "model")
