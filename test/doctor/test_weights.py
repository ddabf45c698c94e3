import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_qwen import CONFIG, HUB_ID, INDEX, WEIGHTS, message_of, save_small
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


def test_a_whole_model_in_shards_is_well(tmp_path: Path) -> None:
    save_small(tmp_path, max_shard_size="100KB")
    facts = gather_model(str(tmp_path))
    assert facts.size == sum(file.stat().st_size for file in tmp_path.glob("model-*.safetensors"))
    assert model_files(facts, 0.0).status is Status.OK


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copy"))


def assert_refused_as_by_the_node(folder: Path, word: str) -> None:
    """The doctor says what the node would say at its start."""
    result = model_files(gather_model(str(folder)), 0.0)
    assert result.status is Status.PROBLEM
    assert word in result.finding
    assert result.finding == message_of(folder)
    assert "save_pretrained" in result.remedy


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "tokenizer.json"])
def test_a_file_that_lacks_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    assert_refused_as_by_the_node(copy, name)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        (CONFIG, "{", "a broken config.json"),
        (CONFIG, "{}", "is of type None"),
        ("tokenizer.json", "{", "a broken tokenizer.json"),
        ("adapter_config.json", "{}", "a PEFT adapter"),
    ],
)
def test_a_file_that_does_not_fit_is_named(name: str, content: str, word: str, copy: Path) -> None:
    (copy / name).write_text(content, encoding="utf-8")
    assert_refused_as_by_the_node(copy, word)


def test_a_shard_that_lacks_or_is_cut_short_is_named(tmp_path: Path) -> None:
    save_small(tmp_path, max_shard_size="100KB")
    first, last = (pick(tmp_path.glob("model-*.safetensors")) for pick in (min, max))
    last.write_bytes(last.read_bytes()[:-1])
    assert_refused_as_by_the_node(tmp_path, "are its files whole?")
    first.unlink()
    assert_refused_as_by_the_node(tmp_path, f"has no {first.name}")
    (tmp_path / INDEX).write_text("{}", encoding="utf-8")
    assert_refused_as_by_the_node(tmp_path, f"a broken {INDEX}")


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


def test_a_copy_in_the_cache_that_lacks_a_file_is_a_warning(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / f"models--{HUB_ID.replace('/', '--')}"
    snapshot = repository / "snapshots" / (40 * "a")
    shutil.copytree(model, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name, encoding="utf-8")
    assert gather_model(HUB_ID).folder == snapshot
    assert model_files(gather_model(HUB_ID), 100e9).status is Status.OK
    (snapshot / "tokenizer.json").unlink()
    assert model_files(gather_model(HUB_ID), 100e9).status is Status.WARNING


def test_a_package_that_cannot_be_imported_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vla_inference_ros.model.qwen.hub", None)
    result = model_files(gather_model(str(model)), 0.0)
    assert result.status is Status.SKIPPED
    assert "vla_inference_ros.model.qwen.hub" in result.finding


def test_what_takes_long_to_import_is_left_out(model: Path) -> None:
    code = (
        "import sys; import vla_inference_ros.doctor.examine as examine\n"
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)\n"
        f"assert examine.weights.gather_model({str(model)!r}).size\n"
        "assert not [name for name in sys.modules if 'modeling_qwen' in name]"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")
