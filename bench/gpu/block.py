"""What is left of a run: a block for bench/RESULTS.md, and the same as JSON."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from gpu.schedule import Outcome

# Without simplejpeg, pictures are decoded by OpenCV.
_PACKAGES = (
    *("transformers", "triton", "numpy", "opencv-python-headless", "scikit-image"),
    "simplejpeg",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """When and on what the figures were measured."""

    date: str
    device: str
    driver: str
    torch: str
    cuda: str
    python: str
    cpus: int
    packages: dict[str, str]


def facts(reduced: bool) -> Facts:
    """Those of this machine."""
    return Facts(
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        device="CPU, reduced form" if reduced else _gpu(),
        driver="none" if reduced else _driver(),
        torch=torch.__version__,
        cuda=str(torch.version.cuda),
        python=platform.python_version(),
        cpus=os.cpu_count() or 1,
        packages={name: _version(name) for name in _PACKAGES},
    )


def _gpu() -> str:
    properties = torch.cuda.get_device_properties(0)
    return (
        f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, "
        f"compute capability {properties.major}.{properties.minor}"
    )


def _driver() -> str:
    if shutil.which("nvidia-smi") is None:
        return "unknown: there is no nvidia-smi"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown: {error}"
    return said.stdout.partition("\n")[0].strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def block(about: Facts, command: str, outcomes: Sequence[Outcome]) -> str:
    """Markdown for bench/RESULTS.md."""
    packages = ", ".join(f"{name} {number}" for name, number in about.packages.items())
    lines = [
        f"### {about.device}, {about.date}",
        "",
        f"`{command}`: driver {about.driver}, torch {about.torch} for CUDA {about.cuda},",
        f"Python {about.python}, {about.cpus} CPUs; {packages}.",
    ]
    for outcome in outcomes:
        lines += ["", f"**{outcome.part.number}. {outcome.part.title}**: {outcome.line}", ""]
        if outcome.rows:
            lines += ["| figure | limit | value |", "|---|---|---|"]
        for row in outcome.rows:
            value = f"**{row.value}** (missed)" if row.kept is False else row.value
            lines.append(f"| {_cell(row.name)} | {_cell(row.limit)} | {_cell(value)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|")


def write(out: Path, about: Facts, command: str, outcomes: Sequence[Outcome]) -> None:
    """Write the block and, beside it, the JSON; ``out`` is the block's file, or a folder."""
    path = out / "on_gpu.md" if out.is_dir() else out
    path.write_text(block(about, command, outcomes), encoding="utf-8")
    content = {
        "facts": asdict(about),
        "command": command,
        "parts": [asdict(outcome) for outcome in outcomes],
    }
    path.with_suffix(".json").write_text(json.dumps(content, indent=1), encoding="utf-8")
