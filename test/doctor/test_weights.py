import json
from pathlib import Path

import pytest
from trained import save_checkpoint, save_model

from vla_inference_ros.doctor.result import Result, Status
from vla_inference_ros.doctor.weights import (
    CheckpointFacts,
    ModelFacts,
    checkpoint_fits,
    gather_checkpoint,
    gather_model,
    model_files,
)

PARITY = Path(__file__).parent.parent / "data" / "parity"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("vlm") / "model")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("heads") / "best.pt")


def checked(model: Path | str, checkpoint: Path | str, fusion: str = "concat") -> Result:
    name = str(checkpoint)
    facts = gather_checkpoint(str(model), name, fusion)
    return checkpoint_fits(name, facts, gather_model(str(model)))


def test_a_checkpoint_that_goes_with_the_model_is_well(model: Path, checkpoint: Path) -> None:
    result = checked(model, checkpoint)
    assert result.status is Status.OK, result.finding
    assert "window 65 x 1026, fusion concat, chunk 8 x 7" in result.finding
    assert "2 tensors of the VLM" in result.finding


def test_a_checkpoint_of_another_fusion_is_named(model: Path, tmp_path: Path) -> None:
    gated = save_checkpoint(tmp_path / "gated.pt", fusion="gated", lora=False)
    result = checked(model, gated)
    assert (result.check, result.status) == ("checkpoint", Status.PROBLEM)
    assert "gated.pt" in result.finding
    assert result.remedy.startswith("fusion_strategy:=")


def test_a_checkpoint_of_other_shapes_is_named(model: Path) -> None:
    result = checked(model, PARITY / "concat_stage1_T65.pt")
    assert result.status is Status.PROBLEM
    assert "takes sensor samples of" in result.finding
    assert "of the rig's shapes" in result.remedy


def test_heads_for_another_models_features_are_named(checkpoint: Path) -> None:
    other = ModelFacts("Qwen/Other", Path(), 1e9, hidden_size=2048)
    facts = gather_checkpoint("Qwen/Other", str(checkpoint), "concat")
    result = checkpoint_fits("best.pt", facts, other)
    assert result.status is Status.PROBLEM
    assert f"takes features of {facts.feature_size} numbers" in result.finding
    assert "gives 2048" in result.finding


@pytest.mark.parametrize(
    ("content", "finding", "remedy"),
    [
        (None, "does not exist", "path of a file"),
        (b"", "is empty", "copy the file again"),
        (b"PK\x03\x04 cut", "cut short", "copy the file again"),
    ],
)
def test_a_file_that_is_none_is_named(
    content: bytes | None, finding: str, remedy: str, tmp_path: Path
) -> None:
    file = tmp_path / "best.pt"
    if content is not None:
        file.write_bytes(content)
    result = checked("/nowhere", file)
    assert result.status is Status.PROBLEM
    assert finding in result.finding
    assert remedy in result.remedy


def test_a_checkpoint_that_is_not_given_is_named(model: Path) -> None:
    result = checked(model, "")
    assert result.status is Status.PROBLEM
    assert result.remedy.startswith("checkpoint:=FILE")


def test_a_checkpoint_for_tiny_is_named(checkpoint: Path) -> None:
    result = checked("tiny", checkpoint)
    assert result.status is Status.PROBLEM
    assert "does not go with model:=tiny" in result.finding
    assert "leave checkpoint:= out" in result.remedy


def test_tiny_needs_no_checkpoint() -> None:
    assert checkpoint_fits("", CheckpointFacts(), ModelFacts("tiny")).status is Status.SKIPPED


def test_a_whole_model_is_well(model: Path) -> None:
    facts = gather_model(str(model))
    assert facts.hidden_size > 0
    assert facts.size == sum(file.stat().st_size for file in model.glob("*.safetensors"))
    assert model_files(facts, 0.0).status is Status.OK


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({}, "has no config.json"),
        ({"config.json": "{"}, "cannot be used"),
        ({"config.json": "{}"}, "has no weights"),
        (
            {
                "config.json": "{}",
                "a.safetensors": "x",
                "model.safetensors.index.json": json.dumps({"weight_map": {"w": "b.safetensors"}}),
            },
            "lacks b.safetensors",
        ),
    ],
)
def test_a_folder_that_is_no_model_is_named(
    files: dict[str, str], word: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    result = model_files(gather_model(str(tmp_path)), 0.0)
    assert result.status is Status.PROBLEM
    assert word in result.finding
    assert "save_pretrained" in result.remedy


@pytest.mark.parametrize("model", ["/no/such/folder", "not a hub id!", "~nobody-of-that-name/m"])
def test_a_name_that_is_no_model_is_a_problem(model: str) -> None:
    assert model_files(gather_model(model), 0.0).status is Status.PROBLEM


def test_a_model_that_is_to_be_downloaded_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    result = model_files(gather_model("Somebody/Qwen2.5-VL-Nowhere"), 100e9)
    assert result.status is Status.WARNING
    assert "100 GB are free" in result.finding
    assert result.remedy.startswith("hf download Somebody/Qwen2.5-VL-Nowhere")
