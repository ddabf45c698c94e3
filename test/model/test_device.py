"""What a person is told when memory is short, and how it is given back."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest
import torch

from vla_inference_ros.model.device import free_memory, loading
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.load import load_feature_model


def load_tiny() -> None:
    load_feature_model("tiny", "", "cpu", "auto", torch_threads=1, stub_seconds=0.0)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory: free some"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory: free some"),
    ],
)
def test_a_lack_of_memory_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("vla_inference_ros.model.qwen.features.VisionEncoder", fail)
    with pytest.raises(ModelError, match=message):
        load_tiny()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_a_lack_of_gpu_memory_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, hidden: bool
) -> None:
    def fail(*_: object) -> None:
        try:
            raise error
        finally:
            if hidden:  # as by the end of a graph's capture
                raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr("vla_inference_ros.model.qwen.features.VisionEncoder", fail)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1.5e9, 24e9))
    with pytest.raises(ModelError, match=r"out of GPU memory, 1\.5 of 24\.0 GB are free") as caught:
        load_tiny()
    assert "\n" not in str(caught.value)


def test_a_gpu_too_full_to_be_asked_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr("vla_inference_ros.model.qwen.features.VisionEncoder", fail)
    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    with pytest.raises(ModelError, match="out of GPU memory: stop other programs"):
        load_tiny()


def test_another_error_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("vla_inference_ros.model.qwen.features.VisionEncoder", fail)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        load_tiny()


# --- giving back


class Ring:
    """Refers to itself, as models and their hooks do."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_what_was_loaded_is_freed_once_nothing_refers_to_it() -> None:
    with loading():
        loaded = Ring()
    alive = weakref.ref(loaded)
    del loaded
    gc.collect()
    assert alive() is not None  # it is kept from the collector
    free_memory()
    assert alive() is None


@pytest.mark.parametrize("in_use", [False, True])
def test_the_gpus_memory_is_given_back_where_it_is_in_use(
    monkeypatch: pytest.MonkeyPatch, in_use: bool
) -> None:
    alive = weakref.ref(ring := Ring())
    del ring
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: in_use)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(alive() is None))
    free_memory()
    assert emptied == [True] * in_use  # after the objects that held it


def test_the_collector_works_as_before_afterwards() -> None:
    assert gc.isenabled()
    with loading():
        assert not gc.isenabled()
    free_memory()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_giving_back_imports_no_torch_and_needs_none() -> None:
    code = (
        "import sys; from vla_inference_ros.model.device import free_memory; free_memory();"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False"]


def test_a_system_whose_allocator_cannot_trim_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    free_memory()
