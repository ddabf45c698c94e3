"""vla-replay, on recordings of runs that were computed as the nodes compute them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from replayed import CHUNKS, START, Published, models, run, with_results, write_bag, write_run
from trained import save_checkpoint

Replay = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny heads with one other weight: the bias of joint_4 in step 3 and all others."""
    file = save_checkpoint(tmp_path_factory.mktemp("checkpoints") / "best.pt", lora=False)
    content = torch.load(file, weights_only=True)
    content["model_state_dict"]["action_expert.output_head.1.bias"][3] += 0.001
    torch.save(content, file)
    return file


@pytest.mark.parametrize("name", ["tiny_bag", "tiny_run", "stub_bag", "stub_run"])
def test_the_same_model_gives_the_same_chunks_every_time(
    name: str, replay: Replay, request: pytest.FixtureRequest
) -> None:
    recording = request.getfixturevalue(name)
    status, said = replay(recording)
    assert status == 0
    assert f"{CHUNKS} of {CHUNKS} chunks compared: {CHUNKS} equal within 1e-06, 0 beyond" in said
    assert "no difference at all" in said
    assert "NOT" not in said
    if "run" not in name:  # there it is not recorded
        assert "3 updates compared, 3 equal within 1e-06; no difference at all" in said
    assert replay(recording) == (status, said)


def test_the_expert_alone_from_recorded_features(tiny_bag: Path, replay: Replay) -> None:
    status, said = replay(tiny_bag, "--features", "recorded")
    assert status == 0
    assert f"{CHUNKS} equal within 1e-06" in said
    assert "none: features as recorded" in said


def test_a_run_folder_has_no_features(stub_run: Path, replay: Replay) -> None:
    status, said = replay(stub_run, "--features", "recorded")
    assert status == 1
    assert said.startswith("vla-replay: ")
    assert "has no VLM features, as no run folder has: record a bag" in said


@pytest.mark.parametrize("features", ["recorded", "recomputed"])
def test_a_changed_weight_shows(
    tiny_bag: Path, changed: Path, replay: Replay, tmp_path: Path, features: str
) -> None:
    file = tmp_path / "differences.json"
    arguments = (tiny_bag, "--checkpoint", changed, "--features", features, "--json", file)
    status, said = replay(*arguments)
    assert status == 1
    assert "compared with best.pt" in said
    assert "NOT THE RECORDED ONE" in said
    assert "first divergence: chunk 1, step 0, joint_4" in said
    assert "difference +1.00e-03" in said
    assert f"0 equal within 1e-06, {CHUNKS} beyond; largest error 1.00e-03" in said
    told = json.loads(file.read_text(encoding="utf-8"))
    assert [chunk["chunk_id"] for chunk in told["chunks"]] == list(range(1, CHUNKS + 1))
    assert [chunk["max_error"] for chunk in told["chunks"]] == pytest.approx([0.001] * CHUNKS, 1e-3)
    assert not any(chunk["equal"] for chunk in told["chunks"])
    assert (told["compared"], told["beyond"], told["passes"]) == (CHUNKS, CHUNKS, False)
    first = told["first_divergence"]
    assert (first["chunk_id"], first["step"], first["action"]) == (1, 0, "joint_4")
    assert first["recomputed"] - first["recorded"] == pytest.approx(0.001, rel=1e-3)
    assert first["vl_update_number"] == 1
    assert (first["vl_reuse_index"], first["vl_reuse_limit"]) == (1, 4)
    assert set(first["view_timestamps"]) == {"View1", "View2"}
    again = tmp_path / "again.json"
    assert replay(*arguments[:-1], again) == (status, said)
    assert again.read_bytes() == file.read_bytes()


def test_the_same_weights_in_a_file_are_equal(
    tiny_run: Path, tmp_path: Path, replay: Replay
) -> None:
    file = save_checkpoint(tmp_path / "best.pt", lora=False)
    status, said = replay(tiny_run, "--checkpoint", file)
    assert status == 0
    assert "compared with best.pt" in said
    assert "NOT THE RECORDED ONE" in said


def test_a_tolerance_lets_a_small_change_pass(
    tiny_bag: Path, changed: Path, replay: Replay
) -> None:
    status, said = replay(tiny_bag, "--checkpoint", changed, "--tolerance", "0.002")
    assert status == 0
    assert "largest error 1.00e-03" in said


def test_another_instruction_shows(stub_bag: Path, stub_run: Path, replay: Replay) -> None:
    for recording in (stub_bag, stub_run):
        status, said = replay(recording, "--instruction", "hold still")
        assert status == 1
        assert f"0 equal within 1e-06, {CHUNKS} beyond" in said
    status, said = replay(stub_bag, "--instruction", "hold still", "--features", "recorded")
    assert status == 0


def test_the_recorded_instruction_is_used(tmp_path: Path, replay: Replay) -> None:
    messages = run(*models("stub"), chunks=4, instruction="hold still")
    assert replay(write_bag(tmp_path / "bag", messages))[0] == 0
    folder = write_run(tmp_path, messages)
    assert replay(folder)[0] == 0
    assert replay(folder, "--instruction", "another")[0] == 1


def without(messages: list[Published], *dropped: Published) -> list[Published]:
    return [message for message in messages if not any(message is other for other in dropped)]


def test_what_is_not_recorded_is_told_and_counted(
    stub: list[Published], tmp_path: Path, replay: Replay
) -> None:
    (features, *_) = [m for m in stub if m.topic == "/vla/features"]
    named = features.message.view_stamps[1]
    image = next(
        m for m in stub if m.topic.startswith("/camera/view2/") and m.message.header.stamp == named
    )
    chunks = [m for m in stub if m.topic == "/vla/actions"]
    batch = [m for m in stub if m.topic == "/sensor/samples" and m.time < chunks[6].time - 0.04][-1]
    bag = write_bag(tmp_path / "bag", without(stub, image, batch))
    file = tmp_path / "differences.json"
    status, said = replay(bag, "--json", file)
    assert status == 0
    assert "7 of 12 chunks compared: 7 equal" in said
    assert "5 NOT compared:" in said
    assert "  4: pictures of View2 are not in the recording" in said
    assert "  1: sensor samples of its window are not in the recording" in said
    told = json.loads(file.read_text(encoding="utf-8"))
    assert [bool(chunk.get("skipped")) for chunk in told["chunks"]] == [True] * 4 + [False] * 2 + [
        True
    ] + [False] * 5
    assert sum(told["skipped"].values()) == 5
    assert replay(bag, "--strict") == (1, said)
    status, said = replay(bag, "--features", "recorded")
    assert status == 0
    assert "11 of 12 chunks compared" in said


def test_a_chunk_without_its_features_is_told(
    stub: list[Published], tmp_path: Path, replay: Replay
) -> None:
    (_, features, *_) = [m for m in stub if m.topic == "/vla/features"]
    bag = write_bag(tmp_path / "bag", without(stub, features))
    for mode in ("recorded", "recomputed"):
        status, said = replay(bag, "--features", mode)
        assert status == 0
        assert "  4: its VLM update is not in the recording" in said


def test_only_the_first_chunks(stub_bag: Path, replay: Replay) -> None:
    status, said = replay(stub_bag, "--limit", "5")
    assert status == 0
    assert "5 of 5 chunks compared" in said
    assert "2 updates compared" in said


def test_a_chunk_that_was_changed_in_the_recording_is_found(
    stub_run: Path, tmp_path: Path, replay: Replay
) -> None:
    def change(text: str) -> str:
        results = json.loads(text)
        results[6]["actions"][2][5] += 0.5
        return json.dumps(results)

    status, said = replay(with_results(stub_run, tmp_path, change))
    assert status == 1
    assert "first divergence: chunk 7, step 2, joint_6" in said
    assert "11 equal within 1e-06, 1 beyond; largest error 5.00e-01 (chunk 7)" in said
    assert f"{START + 1.6:.6f}" in said
