"""One page, made once for all tests that look at it."""

from __future__ import annotations

from pathlib import Path

import pytest
from html_page import Page
from planted import Planted

from vla_inference_ros.report.report import report


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a file of a known size in it."""
    folder = tmp_path_factory.mktemp("run") / "async_inference_20261125_101500"
    folder.mkdir()
    (folder / "frames_20261125_101500.csv").write_bytes(b"x" * 2_340_000)
    return folder


@pytest.fixture(scope="session")
def raw_page(folder: Path) -> bytes:
    """Of all that is planted."""
    return report(Planted(folder))


@pytest.fixture(scope="session")
def page(raw_page: bytes) -> Page:
    return Page(raw_page)
