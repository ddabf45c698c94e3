import dataclasses
from pathlib import Path
from typing import Any

import pytest

from vla_inference_ros.doctor.computing import (
    Gpu,
    MemoryFacts,
    Placement,
    TorchFacts,
    device,
    gather_memory,
    gather_torch,
    memory,
)
from vla_inference_ros.doctor.result import Status

CARD = Gpu("Some GPU", 20_000_000_000, 24_000_000_000, (8, 6))
CPU, ONE_GPU = TorchFacts("2.13.0"), TorchFacts("2.13.0", (CARD,))
VLM = Placement("vlm", "Qwen/Qwen2.5-VL-3B-Instruct", "auto", "auto")
EXPERT = Placement("action_expert", VLM.model, "auto", "auto")
MUCH, LITTLE = MemoryFacts(64e9, 64e9), MemoryFacts(12e9, 16e9)


@pytest.mark.parametrize(
    ("change", "torch", "status", "finding", "remedy"),
    [
        ({}, ONE_GPU, Status.OK, "cuda:0 (Some GPU)", ""),
        ({}, CPU, Status.PROBLEM, "so no chunk comes", "device:=cuda"),
        ({"weights": 1e8}, CPU, Status.OK, "cpu", ""),
        ({"model": "tiny"}, CPU, Status.OK, "cpu", ""),
        ({"model": "stub"}, CPU, Status.SKIPPED, "computes nothing", ""),
        ({"device": "cuda"}, CPU, Status.PROBLEM, "finds 0 GPU(s)", "nvidia-smi"),
        ({"device": "cuda:1"}, ONE_GPU, Status.PROBLEM, "finds 1 GPU(s)", "device:=cpu"),
        ({"device": "gpu"}, ONE_GPU, Status.PROBLEM, "'gpu' is no device", "cuda:N"),
        ({"dtype": "float8"}, ONE_GPU, Status.PROBLEM, "capability 8.9", "dtype:=bfloat16"),
        ({"dtype": "float8"}, CPU, Status.PROBLEM, "for GPUs", "dtype:=float16"),
        ({"dtype": "float16"}, ONE_GPU, Status.PROBLEM, "overflows", "dtype:=bfloat16"),
        ({}, TorchFacts("", error="ImportError: no"), Status.PROBLEM, "no", "pip install torch"),
    ],
)
def test_devices(
    change: dict[str, Any], torch: TorchFacts, status: Status, finding: str, remedy: str
) -> None:
    result = device(dataclasses.replace(VLM, **change), torch)
    assert result.status is status
    assert finding in result.finding
    assert remedy in result.remedy


def test_a_gpu_that_is_full_is_a_problem() -> None:
    full = TorchFacts("2.13.0", (dataclasses.replace(CARD, free=5_000_000_000),))
    ram, gpu = memory([VLM, EXPERT], full, MUCH)
    assert (ram.check, ram.status) == ("memory", Status.OK)
    assert (gpu.check, gpu.status) == ("memory of cuda:0", Status.PROBLEM)
    assert gpu.finding == "5.0 of 24.0 GB free, the models need 7.9 GB"
    assert "nvidia-smi" in gpu.remedy
    assert memory([VLM, EXPERT], ONE_GPU, MUCH)[1].status is Status.OK


def test_a_machine_with_too_little_memory_has_a_problem() -> None:
    (result,) = memory([VLM, EXPERT], CPU, LITTLE)
    assert result.status is Status.PROBLEM
    assert "the models need 16.4 GB" in result.finding
    assert "dtype:=" in result.remedy
    smaller = dataclasses.replace(VLM, dtype="bfloat16")
    assert memory([smaller, EXPERT], CPU, LITTLE)[0].status is Status.OK


def test_tiny_needs_little() -> None:
    places = [dataclasses.replace(place, model="tiny") for place in (VLM, EXPERT)]
    (result,) = memory(places, CPU, LITTLE)
    assert result.status is Status.OK
    assert "need little" in result.finding


def test_meminfo_is_read(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(
        "MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:  50 kB\n", encoding="utf-8"
    )
    assert gather_memory(tmp_path) == MemoryFacts(51_200.0, 102_400.0)
    assert 0 < gather_memory().available < gather_memory().total


def test_torch_tells_its_version() -> None:
    assert gather_torch().version
    assert not gather_torch().error
