"""A small Qwen2.5-VL as transformers saves it, and a hub that has it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLForConditionalGeneration

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.qwen.hub import load_qwen
from vla_inference_ros.model.tiny import byte_tokenizer, vision_language_model

TOKENIZER = byte_tokenizer()
SMALL: Any = vision_language_model(TOKENIZER)
HUB_ID = "Somebody/Qwen2.5-VL-Small"
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def whole_model() -> Any:
    """The model with its head."""
    model = Qwen2_5_VLForConditionalGeneration(SMALL.config).eval()
    model.model.load_state_dict(SMALL.state_dict())
    return model


def save_small(folder: Path, **options: Any) -> Path:
    """Save the model with its head, and the tokenizer, into a folder."""
    whole_model().save_pretrained(folder, **options)
    TOKENIZER.save(str(folder / "tokenizer.json"))
    return folder


def message_of(model: object) -> str:
    """The one line that says why a model is refused."""
    with pytest.raises(ModelError) as error:
        load_qwen(str(model), torch.float32)
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_is_small(model: Any, dtype: torch.dtype = torch.float32) -> None:
    """Expect the weights of the small model, ready for use."""
    assert type(model).__name__ == "Qwen2_5_VLModel"
    found = model.state_dict()
    assert found.keys() == SMALL.state_dict().keys()
    for name, tensor in SMALL.state_dict().items():
        assert torch.equal(found[name], tensor.to(dtype)), name
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


class FakeHub(BaseHTTPRequestHandler):
    """Serves the files of ``folder`` as those of HUB_ID, or answers with ``refusal``."""

    folder: Path
    refusal: tuple[int, str] | None = None
    requests: list[str]
    sha = 40 * "a"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.requests.append(self.path)
        path = self.path.partition("?")[0]
        files = sorted(file for file in self.folder.iterdir())
        if self.refusal is not None:
            status, code = self.refusal
            self._answer(b"{}", status, {"X-Error-Code": code} if code else {})
        elif path in (f"/api/models/{HUB_ID}", f"/api/models/{HUB_ID}/revision/main"):
            siblings = [{"rfilename": file.name} for file in files]
            self._json({"id": HUB_ID, "sha": self.sha, "siblings": siblings, "tags": []})
        elif path.startswith(f"/api/models/{HUB_ID}/tree/"):
            self._json(
                [
                    {
                        "type": "file",
                        "path": file.name,
                        "size": file.stat().st_size,
                        "oid": "b" * 40,
                    }
                    for file in files
                ]
            )
        elif path.startswith(f"/{HUB_ID}/resolve/"):
            file = self.folder / Path(path).name
            headers = {"X-Repo-Commit": self.sha, "ETag": f'"{file.name}"'}
            self._answer(file.read_bytes(), 200, headers)
        else:
            self._answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

    def _json(self, content: object) -> None:
        self._answer(json.dumps(content).encode(), 200, {"Content-Type": "application/json"})

    def _answer(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


def use_hub(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Let huggingface_hub take a port of this host for the hub."""
    endpoint = f"http://127.0.0.1:{port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
