"""What a model's folder must hold, told without loading its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_qwen import CONFIG, INDEX, SMALL, TOKENIZER, WEIGHTS, save_small

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.qwen.folder import check_folder, lack


def test_a_whole_folder(folder: Path) -> None:
    assert lack(folder) is None
    files = check_folder(folder)
    assert files.folder == folder
    assert files.weights == (folder / WEIGHTS,)
    assert files.config.text_config.hidden_size == SMALL.config.text_config.hidden_size
    assert files.tokenizer.get_vocab() == TOKENIZER.get_vocab()


def test_a_whole_folder_in_shards(tmp_path: Path) -> None:
    save_small(tmp_path, max_shard_size="100KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert check_folder(tmp_path).weights == tuple(shards)
    shards[0].unlink()
    shards[-1].unlink()
    assert lack(tmp_path) == f"no {shards[0].name}, {shards[-1].name}"


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        (CONFIG, "no config.json"),
        ("tokenizer.json", "no tokenizer.json"),
        (WEIGHTS, "no weights (model.safetensors)"),
    ],
)
def test_what_lacks_is_named(folder: Path, name: str, lacking: str) -> None:
    (folder / name).unlink()
    assert lack(folder) == lacking
    with pytest.raises(ModelError, match=r"give a folder of save_pretrained, all of it$"):
        check_folder(folder)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 3}}']
)
def test_a_broken_index_is_named(folder: Path, content: str) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(content, encoding="utf-8")
    assert lack(folder) == f"a broken {INDEX}"


def test_an_index_beside_the_whole_weights_is_not_asked(folder: Path) -> None:
    (folder / INDEX).write_text(
        json.dumps({"weight_map": {"a": "absent.safetensors"}}), encoding="utf-8"
    )
    assert check_folder(folder).weights == (folder / WEIGHTS,)


def test_a_folder_that_may_not_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    assert lack(folder) == "no files that this user may read (Permission denied)"


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_weights_that_are_cut_short_are_seen_without_loading_them(
    folder: Path, part: float
) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ModelError, match="are its files whole"):
        check_folder(folder)
