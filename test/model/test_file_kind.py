"""Files are read for what they are, whatever they are called; what cannot be read is named."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity import assert_reproduces, flat, message_of, parts_of
from safetensors.torch import save_file

from vla_inference_ros.model.checkpoint import load_policy_heads, load_vl_state
from vla_inference_ros.model.interface import ModelError

CASES = Path(__file__).parent.parent / "data" / "ckpt"
REMEDY = "load it where it was made and save it with torch.save, leaving pickle_protocol out"


def save_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_old(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_safetensors(content: Any, path: Path) -> None:
    save_file(flat(content), path)


@pytest.mark.parametrize(
    ("save", "name", "said"),
    [
        (save_zip, "best.bin", ""),
        (save_zip, "best", ""),
        (save_zip, "best.pth.tar", ""),
        (save_zip, "best.safetensors", "a torch file, though called .safetensors"),
        (save_old, "best.bin", ""),
        (
            save_old,
            "best.safetensors",
            "a torch file of the old format, though called .safetensors",
        ),
        (save_safetensors, "best.pt", "a safetensors file, though called .pt"),
        (save_safetensors, "best.pth", "a safetensors file, though called .pth"),
        (save_safetensors, "best.bin", ""),
    ],
)
def test_the_content_counts_and_a_wrong_suffix_is_said(
    tmp_path: Path, save: Any, name: str, said: str
) -> None:
    save(parts_of(), tmp_path / name)
    heads = load_policy_heads(tmp_path / name)
    assert_reproduces(heads, "concat_stage1_T65")
    assert heads.state_report.misnamed == said
    assert load_vl_state(tmp_path / name) == {}


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
@pytest.mark.parametrize("save", ["zip", "old"])
def test_another_pickle_protocol_is_the_cause_that_is_told(
    tmp_path: Path, protocol: int, save: str
) -> None:
    content = {**parts_of(), "note": b"bytes, which protocol 3 writes in its own way"}
    torch.save(
        content,
        tmp_path / "best.pt",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=save == "zip",
    )
    message = message_of(tmp_path / "best.pt")
    number = "0 or 1" if protocol < 2 else protocol
    assert f"with pickle_protocol={number}, which torch's safe reader does not know" in message
    assert message.endswith(REMEDY)


@pytest.mark.parametrize("load", [load_policy_heads, load_vl_state])
def test_the_case_of_protocol_4(load: Any) -> None:
    with pytest.raises(ModelError, match="is a torch file with pickle_protocol=4") as error:
        load(CASES / "protocol4.pt")
    assert str(error.value).endswith(REMEDY)


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_plain_pickle_is_named(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "best.pt").write_bytes(pickle.dumps({"epoch": 3}, protocol))
    assert "is a plain pickle, no file of torch.save: save the" in message_of(tmp_path / "best.pt")


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(6):
            archive.writestr(f"file{number}.pt", b"weights")
    return buffer.getvalue()


def numpy_zip() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weights=np.zeros(3))
    return buffer.getvalue()


def old_tar() -> bytes:
    """One without the name of its format, as in Unix v7; torch may take it for its own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("weights"))
    header = bytearray(buffer.getvalue()[:512])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs/spec/v1\noid sha256:0", "is a Git LFS pointer, not the weights"),
        (gzip.compress(b"weights"), "is compressed with gzip: unpack it"),
        (b"\x28\xb5\x2f\xfd1234567890", "is compressed with zstd: unpack it"),
        (b"\x89HDF\r\n\x1a\n1234", "is an HDF5 file: save the networks' state_dict()"),
        (b"GGUF1234567890", "is a GGUF file, quantised: give the weights"),
        (zipped(), "is a zip archive of 'file0.pt', 'file1.pt', 'file2.pt', 'file3.pt' and 2 more"),
        (numpy_zip(), "is a zip archive of 'weights.npy', no file of torch.save: unpack it"),
        (b"\x80\x02", "is a plain pickle, no file of torch.save"),
        (b"PK\x03\x04", "is cut short or no file of torch.save"),
        (b"\x08\0\0\0\0\0\0\0{", "is cut short or no safetensors file"),
        (b"<!DOCTYPE html>", "is text, which begins with '<!DOCTYPE html>', not the weights"),
        (b'{"error": "Repository not found"}\r\n', 'is text, which begins with \'{"error": '),
        ("\ufeffÄ".encode() + "ß".encode() * 300, "is text, which begins with 'Äßß"),
        (bytes(9), "begins with 9 zeros: it was not written to the end"),
        (bytes(4096) + b"PK", "begins with 512 zeros: it was not written to the end"),
        (b"weights\x00\x01", "is cut short or no "),
        (b"\xff\xfeweights", "is cut short or no "),
        (old_tar(), "is cut short or no "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("name", ["best.pt", "best.bin"])
def test_what_holds_no_tensors_is_named(
    tmp_path: Path, content: bytes, said: str, name: str
) -> None:
    (tmp_path / name).write_bytes(content)
    message = message_of(tmp_path / name)
    assert said in message
    assert "weights_only set to False" not in message  # torch's advice, which would run its code
