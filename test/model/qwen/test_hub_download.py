"""Models that are not in a folder; the hub is a server of this process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from ports import free_port
from small_qwen import (
    HUB_ID,
    WEIGHTS,
    FakeHub,
    assert_is_small,
    message_of,
    use_hub,
)

from vla_inference_ros.model.qwen import hub
from vla_inference_ros.model.qwen.hub import load_qwen, local_files


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return path


@pytest.fixture
def server(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeHub]]:
    handler = type("Handler", (FakeHub,), {"folder": folder, "requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        use_hub(monkeypatch, running.server_address[1])
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield handler
        running.shutdown()
        thread.join()


def test_a_hub_id_is_downloaded_once(
    server: type[FakeHub], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "README.md").write_text("not needed", encoding="utf-8")
    assert_is_small(load_qwen(HUB_ID, torch.float32)[0])
    assert not any("README" in request for request in server.requests)
    said = f"downloading {HUB_ID} from the hub; this takes a while\n"
    assert capfd.readouterr() == ("", said)
    server.requests.clear()
    assert_is_small(load_qwen(HUB_ID, torch.float32)[0])
    assert server.requests == []
    assert capfd.readouterr() == ("", "")


def test_an_incomplete_copy_in_the_cache_is_completed(server: type[FakeHub], cache: Path) -> None:
    load_qwen(HUB_ID, torch.float32)
    next(cache.glob(f"models--*/snapshots/*/{WEIGHTS}")).unlink()
    assert_is_small(load_qwen(HUB_ID, torch.float32)[0])


def test_to_look_at_the_files_asks_no_network(server: type[FakeHub], cache: Path) -> None:
    assert local_files(HUB_ID) is None
    assert server.requests == []
    load_qwen(HUB_ID, torch.float32)
    server.requests.clear()
    files = local_files(HUB_ID)
    assert files is not None
    assert files.folder.is_relative_to(cache)
    (files.folder / "tokenizer.json").unlink()
    assert local_files(HUB_ID) is None
    assert server.requests == []


def test_a_hub_id_without_all_files_is_refused(server: type[FakeHub], folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert "no weights (model.safetensors)" in message_of(HUB_ID)


def test_an_unknown_hub_id_is_refused(server: type[FakeHub]) -> None:
    message = message_of("Somebody/Else")
    assert "model Somebody/Else is neither a folder here nor on the hub" in message
    for model in ("a/b/c", "two words", "x" * 200, "-x"):
        assert "neither a folder here nor a hub id such as Qwen/" in message_of(model)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "GatedRepo", "is gated: accept its terms on the hub and run `hf auth login`"),
        (401, "RepoNotFound", "is neither a folder here nor on the hub (or it is private)"),
        (503, "", "503"),
        (404, "", "cannot be downloaded"),
    ],
)
def test_refusals_of_the_hub(server: type[FakeHub], status: int, code: str, expected: str) -> None:
    server.refusal = (status, code)
    assert expected in message_of(HUB_ID)


def test_a_silent_hub_is_not_waited_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_hub(monkeypatch, silent.getsockname()[1])
        started = time.monotonic()
        message = message_of(HUB_ID)
    assert time.monotonic() - started < 5
    assert f"download it once with `hf download {HUB_ID}`, or give a local folder" in message


def test_offline_means_offline(server: type[FakeHub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert f"download it once with `hf download {HUB_ID}`" in message_of(HUB_ID)
    assert server.requests == []


def test_without_a_network_the_message_comes_soon(tmp_path: Path) -> None:
    code = (
        "import time, torch\n"
        "from vla_inference_ros.model.qwen.hub import *\n"
        "start = time.monotonic()\n"
        "try: load_qwen('Qwen/Qwen2.5-VL-3B-Instruct', torch.float32)\n"
        "except ModelError as error: print(f'{time.monotonic() - start:.1f} {error}')"
    )
    endpoint = f"http://127.0.0.1:{free_port()}"
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    seconds, _, message = out.stdout.partition(" ")
    assert float(seconds) < 15
    assert message.count("\n") == 1
    assert "is not in the local cache and cannot be downloaded" in message
    assert "no network? download it once with `hf download Qwen/Qwen2.5-VL-3B-Instruct`" in message
    assert out.stderr == ""
