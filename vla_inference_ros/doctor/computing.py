"""Devices and memory: whether the models can run where they are to run, and fit there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vla_inference_ros.doctor.result import Result, ok, problem, skipped, warning

BUILT_IN = ("tiny", "stub")  # need next to no memory
VLM, EXPERT = "vlm", "action_expert"
HUB_BYTES = 7.5e9  # of Qwen2.5-VL-3B's weights in bfloat16
_EXPERT_BYTES = 0.36e9  # in float32
# What a dtype takes while it loads, as a multiple of bfloat16's, on the CPU and on a GPU; README.
_VLM_ON_CPU = {"float32": 16 / 7.5, "float16": 16 / 7.5, "bfloat16": 1.0}
_VLM_ON_GPU = {"float32": 2.0, "bfloat16": 1.0, "float8": 0.55}
_EXPERT = {"float32": 1.0, "bfloat16": 0.5, "float16": 0.5, "float8": 0.3}
_LARGE = 1e9  # more weights are too many for a CPU to be in time [bytes]
_SPARE = 1e9  # for all else [bytes]
_FLOAT8_CAPABILITY = (8, 9)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A CUDA device; ``free`` and ``total`` memory in bytes."""

    name: str
    free: int
    total: int
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """``error`` says why torch cannot be imported or asked."""

    version: str
    gpus: tuple[Gpu, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a node's model is to run. ``node`` is vlm or action_expert; ``weights`` [bytes] is the
    size of the VLM's in bfloat16.
    """

    node: str
    model: str
    device: str
    dtype: str
    weights: float = HUB_BYTES


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """``available`` is what programs can still have [bytes]."""

    available: float
    total: float


def gather_torch() -> TorchFacts:
    """Asks torch for its GPUs."""
    try:
        import torch

        gpus = []
        for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            free, total = torch.cuda.mem_get_info(number)
            capability = torch.cuda.get_device_capability(number)
            gpus.append(Gpu(torch.cuda.get_device_name(number), free, total, capability))
    except (ImportError, OSError, RuntimeError) as error:  # a library, a driver, a full GPU
        reason = " ".join(str(error).split())
        return TorchFacts("", error=f"{type(error).__name__}: {reason[:200]}")
    return TorchFacts(str(torch.__version__), tuple(gpus))


def gather_memory(proc: Path = Path("/proc")) -> MemoryFacts:
    """Of this machine."""
    text = (proc / "meminfo").read_text(encoding="utf-8")
    fields = {name: float(kb) * 1024 for name, kb in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return MemoryFacts(fields["MemAvailable"], fields["MemTotal"])


def device(place: Placement, torch: TorchFacts) -> Result:
    """Whether the node's device is there and multiplies in its dtype."""
    check = f"device of {place.node}"
    if place.model == "stub":
        return skipped(check, "model:=stub computes nothing")
    if torch.error:
        return problem(check, f"torch: {torch.error}", "pip install torch, and transformers")
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", place.device)
    if match is None:
        return problem(check, f"{place.device!r} is no device", "device:=auto, cpu, cuda or cuda:N")
    if place.device == "cpu" or (place.device == "auto" and not torch.gpus):
        return _cpu(check, place)
    number = int(match[1] or 0)
    if number >= len(torch.gpus):
        return problem(
            check,
            f"device:={place.device}, but torch {torch.version} finds {len(torch.gpus)} GPU(s)",
            "look whether nvidia-smi shows it; install torch's build for CUDA; or device:=cpu",
        )
    gpu = torch.gpus[number]
    told = f"cuda:{number} ({gpu.name}), {place.dtype}"
    if place.dtype == "float8" and gpu.capability < _FLOAT8_CAPABILITY:
        return problem(check, f"{told}: needs compute capability 8.9", "dtype:=bfloat16")
    if place.dtype == "float16" and place.node == VLM and place.model not in BUILT_IN:
        return problem(check, f"{told}: overflows in this model's layers", "dtype:=bfloat16")
    return ok(check, told)


def memory(places: list[Placement], torch: TorchFacts, ram: MemoryFacts) -> list[Result]:
    """Whether what runs on each device fits there: this machine's memory, then each GPU's."""
    need_of: dict[int, float] = {-1: 0.0}
    for place in places:
        need, number = needs(place, torch), device_number(place, torch)
        need_of[number] = need_of.get(number, 0.0) + need
    results = [_fits("memory", need_of.pop(-1), ram.available, ram.total, "close other programs")]
    for number, need in need_of.items():
        gpu = torch.gpus[number]
        remedy = "stop other programs on the GPU (nvidia-smi shows them)"
        results.append(_fits(f"memory of cuda:{number}", need, gpu.free, gpu.total, remedy))
    return results


def device_number(place: Placement, torch: TorchFacts) -> int:
    """Of the GPU that a node's model will be on; -1 for this machine's own memory."""
    match = re.fullmatch(r"auto|cuda(?::(\d+))?", place.device)
    number = int(match[1] or 0) if match and place.model != "stub" else -1
    return number if number < len(torch.gpus) else -1


def needs(place: Placement, torch: TorchFacts) -> float:
    """The memory that a node's model takes while it loads [bytes]."""
    if place.model in BUILT_IN:
        return 0.0
    on_gpu = device_number(place, torch) >= 0
    if place.node == EXPERT:
        return _EXPERT_BYTES * _EXPERT.get(place.dtype, 1.0)
    known = _VLM_ON_GPU if on_gpu else _VLM_ON_CPU
    default = "bfloat16" if on_gpu else "float32"
    return place.weights * known.get(place.dtype, known[default])


def _cpu(check: str, place: Placement) -> Result:
    if place.dtype == "float8":
        return problem(check, "dtype float8 is for GPUs, not cpu", "dtype:=float16 or float32")
    if place.node == VLM and place.model not in BUILT_IN and place.weights > _LARGE:
        return problem(
            check,
            f"cpu, {place.dtype}: an update of such a model takes far longer than features may be "
            "old (bench/RESULTS.md), so no chunk comes",
            "use a GPU (device:=cuda), or model:=tiny for a trial",
        )
    return ok(check, f"cpu, {place.dtype}")


def _fits(check: str, need: float, free: float, total: float, remedy: str) -> Result:
    told = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free, the models need "
    told += f"{need / 1e9:.1f} GB" if need else "little"
    values = {"free_bytes": free, "needed_bytes": need}
    smaller = f"{remedy}, or choose a smaller dtype:= (README.md, Models)"
    if need > free:
        return problem(check, told, smaller, **values)
    if need + _SPARE > free:
        return warning(check, f"{told}: little is left for all else", smaller, **values)
    return ok(check, told, **values)
