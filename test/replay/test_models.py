"""The replay loads a VLM as the node would, with the LoRA settings of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from trained import save_checkpoint, save_model

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.load import load_feature_model
from vla_inference_ros.replay.command import main
from vla_inference_ros.replay.models import ModelOptions, load_recorded_feature_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("vlm") / "model")


def options(model: object, checkpoint: object, *lora: object) -> ModelOptions:
    return ModelOptions(str(model), str(checkpoint), "concat", "cpu", "auto", *lora)  # type: ignore[arg-type]


def test_lora_is_scaled_as_in_the_node(model: Path, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "best.pt")
    config = tmp_path / "lora.json"
    config.write_text('{"r": 16, "lora_alpha": 8}', encoding="utf-8")
    common = str(model), str(checkpoint), "cpu", "auto"
    expected = load_feature_model(*common, lora_alpha=8.0, torch_threads=1, stub_seconds=0.0)
    for lora in (("", 8.0), (str(config), 0.0)):
        found = load_recorded_feature_model(options(model, checkpoint, *lora), "")
        assert found.model_id == expected.model.model_id
    other = load_recorded_feature_model(options(model, checkpoint), "")
    assert other.model_id != expected.model.model_id
    with pytest.raises(ModelError, match=r"lora_alpha is 9, but .*lora\.json says 8"):
        load_recorded_feature_model(options(model, checkpoint, str(config), 9.0), "")


def test_a_built_in_model_takes_no_settings_of_lora() -> None:
    loaded = load_recorded_feature_model(options("stub", "best.pt", "lora.json", 8.0), "")
    assert loaded.model_id.startswith("stub (")


@pytest.mark.parametrize("alpha", ["0", "-1", "nan", "inf", "big"])
def test_an_alpha_that_is_none_is_named(alpha: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bag", "--lora-alpha", alpha])
    assert ended.value.code == 2
    assert f"'{alpha}' is not a number over 0" in capsys.readouterr().err
