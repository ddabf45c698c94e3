"""What a file may hold, and that nothing in it is run."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity import assert_reproduces, flat, message_of, parts_of, refusal
from safetensors.torch import save_file

from vla_inference_ros.model.checkpoint import load_policy_heads, load_vl_state
from vla_inference_ros.model.interface import ModelError


class Malicious:
    """Creates a folder or a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class Evaluated(Malicious):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.path)!r}, 'w')",)


def test_what_is_no_file_is_named_at_once(tmp_path: Path) -> None:
    for name in ("best.pt", "best.safetensors"):
        os.mkfifo(tmp_path / name)
        said = message_of(tmp_path / name)
        assert said == f"checkpoint {tmp_path / name} cannot be read: it is a FIFO, not a file"
    assert "it is a device, not a file" in message_of(Path("/dev/zero"))


@pytest.mark.parametrize("kind", [Malicious, Evaluated])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("writer", ["zip", "old", "pickle"])
def test_a_pickle_that_wants_code_is_refused_and_not_run(
    tmp_path: Path, kind: type[Malicious], protocol: int, writer: str
) -> None:
    trap, path = tmp_path / "trap", tmp_path / "best.pt"
    content = {**parts_of(), "extra": kind(trap)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps({"extra": kind(trap)}, protocol))
    else:
        torch.save(
            content,
            path,
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=writer == "zip",
        )
    message = message_of(path)
    assert not trap.exists()
    if protocol == 2:
        assert "wants eval" in message or "wants posix.mkdir" in message
        assert "nothing of it was run; save the state dicts alone" in message
    else:
        assert "with pickle_protocol=4, which torch's safe reader does not know" in message
        assert "nothing of it was run" in message
    with pytest.raises(ModelError):
        load_vl_state(path)
    assert not trap.exists()


def test_an_argparse_namespace_is_refused_by_name(tmp_path: Path) -> None:
    message = refusal(tmp_path, {**parts_of(), "args": Namespace(lr=1e-4)})
    assert "wants argparse.Namespace" in message
    assert "save the state dicts alone" in message


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    assert "wants torch.nn.modules.linear.Linear" in refusal(tmp_path, torch.nn.Linear(2, 2))


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "does not exist" in message_of(tmp_path / "absent.pt")
    assert "cannot be read" in message_of(Path("~nosuchuser/best.pt"))
    assert "cannot be read" in message_of(tmp_path / ("b" * 300))
    assert "is a folder: give the file in it" in message_of(tmp_path)
    empty = tmp_path / "empty.pt"
    empty.touch()
    assert "is empty" in message_of(empty)
    text = tmp_path / "text.pt"
    text.write_text("no weights at all\n" * 100, encoding="utf-8")
    assert "is text, which begins with" in message_of(text)
    tar = tmp_path / "tar.pt"
    with tarfile.open(tar, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert "no file of torch.save" in message_of(tar)
    empty_name = tmp_path / "empty.safetensors"
    empty_name.write_bytes(b"\x01")
    assert "no safetensors file" in message_of(empty_name)


def test_torchscript_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), buffer)
    (tmp_path / "script.pt").write_bytes(buffer.getvalue())
    assert "TorchScript" in message_of(tmp_path / "script.pt")


@pytest.mark.parametrize("part", [0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("writer", ["zip", "old", "safetensors"])
def test_truncated_files(tmp_path: Path, part: float, writer: str) -> None:
    path = tmp_path / ("best.safetensors" if writer == "safetensors" else "best.pt")
    if writer == "safetensors":
        save_file(flat(parts_of()), path)
    else:
        torch.save(parts_of(), path, _use_new_zipfile_serialization=writer == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    assert "is cut short or no" in message_of(path)


def test_numpy_values_ride_along(tmp_path: Path) -> None:
    extras = {
        "val_loss": np.float64(0.02),
        "best": np.float32(0.01),
        "step": np.int64(7),
        "history": {"loss": [np.float64(1.0)], "mean": np.arange(3.0)},
        "random": np.random.RandomState(0).get_state(),
    }
    torch.save({**parts_of(), **extras, "epoch": 3}, tmp_path / "best.pt")
    heads = load_policy_heads(tmp_path / "best.pt")
    assert_reproduces(heads, "concat_stage1_T65")
    assert set(heads.state_report.ignored) == {*extras, "epoch"}


def test_the_old_format_of_torch_save(tmp_path: Path) -> None:
    torch.save(parts_of(), tmp_path / "best.pth", _use_new_zipfile_serialization=False)
    assert_reproduces(load_policy_heads(tmp_path / "best.pth"), "concat_stage1_T65")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors(tmp_path: Path, prefix: str) -> None:
    save_file(flat(parts_of("gated"), prefix), tmp_path / "best.safetensors")
    heads = load_policy_heads(tmp_path / "best.safetensors", "gated")
    assert_reproduces(heads, "gated_stage1_T65")
    assert heads.state_report.shape == "bare"
