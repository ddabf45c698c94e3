"""The forms of checkpoints, and the heads that they make."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from parity import NAMES, PARITY, assert_reproduces, flat, fusion_of, message_of, parts_of, refusal
from safetensors.torch import save_file
from torch import Tensor

from vla_inference_ros.model.checkpoint import load_policy_heads, load_vl_state
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import ModelError


@pytest.mark.parametrize("name", NAMES)
def test_reproduces_the_reference(name: str) -> None:
    heads = load_policy_heads(PARITY / f"{name}.pt", fusion_of(name))
    assert_reproduces(heads, name)
    assert heads.state_report.shape == name.split("_")[-2]
    assert not any(parameter.requires_grad for parameter in heads.expert.parameters())
    assert not heads.encoder.training


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("outer", ["model_state_dict", None])
def test_names_in_a_state_dict(tmp_path: Path, prefix: str, outer: str | None) -> None:
    state = flat(parts_of(), prefix)
    state[f"{prefix}vl_model.visual.weight"] = torch.zeros(2)
    state[f"{prefix}other.weight"] = torch.zeros(2)
    torch.save({outer: state, "epoch": 3} if outer else state, tmp_path / "best.pt")
    heads = load_policy_heads(tmp_path / "best.pt")
    assert_reproduces(heads, "concat_stage1_T65")
    report = heads.state_report
    assert report.shape == ("full" if outer else "bare")
    expected = {"other.* (1 tensors)", "vl_model.* (1 tensors)"}
    assert set(report.ignored) == expected | ({"epoch"} if outer else set())
    assert report.missing == ()
    assert set(report.loaded) == set(flat(parts_of()))


def test_names_inside_a_part_may_have_module_in_front(tmp_path: Path) -> None:
    parts = {
        part: {f"module.{name}": tensor for name, tensor in state.items()}
        for part, state in parts_of().items()
    }
    torch.save({**parts, "optimizer_state_dict": {}, "epoch": 3}, tmp_path / "best.pt")
    heads = load_policy_heads(tmp_path / "best.pt")
    assert_reproduces(heads, "concat_stage1_T65")
    assert heads.state_report.shape == "stage1"
    assert heads.state_report.ignored == ("optimizer_state_dict", "epoch")


def test_model_state_dict_goes_before_a_second_copy(tmp_path: Path) -> None:
    older = {
        part: {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        for part, state in parts_of().items()
    }
    torch.save({"model_state_dict": flat(parts_of()), **older}, tmp_path / "best.pt")
    heads = load_policy_heads(tmp_path / "best.pt")
    assert_reproduces(heads, "concat_stage1_T65")
    assert "sensor_encoder (in model_state_dict too)" in heads.state_report.ignored


def test_a_part_may_be_beside_the_model_state_dict(tmp_path: Path) -> None:
    parts = parts_of()
    encoder = {"sensor_encoder": parts.pop("sensor_encoder")}
    torch.save({"model_state_dict": flat(parts), **encoder}, tmp_path / "best.pt")
    assert_reproduces(load_policy_heads(tmp_path / "best.pt"), "concat_stage1_T65")


def test_the_file_may_change_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    torch.save(parts_of(), path)
    heads = load_policy_heads(path)
    with path.open("r+b") as stream:
        stream.write(b"\0" * path.stat().st_size)
    assert_reproduces(heads, "concat_stage1_T65")


def test_full_size_loads_and_runs(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        networks = {
            "sensor_encoder": SensorEncoder(channels=1026, window=65, hidden=512, output=3072),
            "action_expert": ActionExpert(
                vl_dim=2048, sensor_dim=3072, hidden=1024, horizon=8, action_dim=7
            ),
        }
    state = {
        name: torch.rand(like.shape, generator=generator).mul_(0.02)
        if like.is_floating_point()
        else torch.tensor(1)
        for name, like in flat(
            {key: dict(net.state_dict()) for key, net in networks.items()}
        ).items()
    }
    torch.save({"model_state_dict": state}, tmp_path / "best.pt")
    del state
    started = time.process_time()  # which others on the machine do not lengthen
    heads = load_policy_heads(tmp_path / "best.pt")
    assert time.process_time() - started < 15
    feature = heads.sensor_features(torch.zeros(1, 65, 1026))
    actions, delta = heads.predict(torch.zeros(1, 1, 2048), None, feature)
    assert feature.shape == (1, 3072)
    assert actions.shape == delta.shape == (1, 8, 7)
    assert actions.isfinite().all()
    assert (heads.encoder.window, heads.encoder.channels, heads.expert.vl_dim) == (65, 1026, 2048)


def test_without_z_chunk_it_is_zero() -> None:
    heads = load_policy_heads(PARITY / "concat_stage1_T65.pt")
    tokens, feature = torch.ones(2, 3, 32), torch.ones(2, 24)
    actions, delta = heads.predict(tokens, None, feature)
    assert torch.equal(actions, delta)
    actions, delta = heads.predict(tokens, torch.ones(2, 8, 7), feature)
    torch.testing.assert_close(actions, delta + 1)


def test_only_fusion_none_does_without_sensor_features() -> None:
    none = load_policy_heads(PARITY / "none_stage1_T65.pt", "none")
    assert none.predict(torch.ones(2, 1, 32), None, None)[0].shape == (2, 8, 7)
    gated = load_policy_heads(PARITY / "gated_stage1_T65.pt", "gated")
    with pytest.raises(ModelError, match="'gated' needs sensor features: only 'none'"):
        gated.predict(torch.ones(2, 1, 32), None, None)


@pytest.mark.parametrize("shape", [(65, 17), (1, 0, 17), (1, 65, 16)])
def test_a_sensor_input_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    heads = load_policy_heads(PARITY / "concat_stage1_T65.pt")
    with pytest.raises(ModelError, match=r"sensor input is .* takes \(B, T, 17\)"):
        heads.sensor_features(torch.zeros(shape))


@pytest.mark.parametrize(
    ("tokens", "z_chunk", "feature", "message"),
    [
        ((1, 32), (1, 8, 7), (1, 24), r"tokens are \(1, 32\).*takes \(B, S, 32\)"),
        ((1, 0, 32), (1, 8, 7), (1, 24), r"tokens are \(1, 0, 32\)"),
        ((1, 1, 31), (1, 8, 7), (1, 24), r"\(1, 1, 31\), the checkpoint with fusion 'concat'"),
        ((1, 1, 32), (1, 7, 7), (1, 24), r"z_chunk is \(1, 7, 7\).*takes \(1, 8, 7\)"),
        ((2, 1, 32), (2, 8, 7), (1, 24), r"features are \(1, 24\).*takes \(2, 24\)"),
    ],
)
def test_inputs_of_other_shapes_are_refused(
    tokens: tuple[int, ...], z_chunk: tuple[int, ...], feature: tuple[int, ...], message: str
) -> None:
    heads = load_policy_heads(PARITY / "concat_stage1_T65.pt")
    with pytest.raises(ModelError, match=message):
        heads.predict(torch.zeros(tokens), torch.zeros(z_chunk), torch.zeros(feature))


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    assert "holds a list, not state dicts" in refusal(tmp_path, [1, 2])
    assert "holds a Tensor, not state dicts" in refusal(tmp_path, torch.zeros(2))
    assert "has no sensor_encoder: its top-level keys are weights, epoch" in refusal(
        tmp_path, {"weights": {}, "epoch": 3}
    )
    assert "keys are model_state_dict, epoch; not used: policy.* (2 tensors), epoch" in refusal(
        tmp_path, {"model_state_dict": {"policy.a": 1, "policy.b": 2}, "epoch": 3}
    )
    assert "x0, x1, x2, x3, x4, x5, x6, x7 and 12 more" in refusal(
        tmp_path, {f"x{index}": index for index in range(20)}
    )
    parts = parts_of()
    del parts["action_expert"]
    assert "has no action_expert: its top-level keys are sensor_encoder" in refusal(tmp_path, parts)
    assert "has no action_expert" in refusal(tmp_path, {**parts, "action_expert": {}})


def test_options_that_are_none() -> None:
    path = PARITY / "concat_stage1_T65.pt"
    assert "'sum' is none of concat" in message_of(path, "sum")
    assert "temporal_length is 0" in message_of(path, temporal_length=0)
    assert "torch.int8 is none of" in message_of(path, dtype=torch.int8)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    state = flat(parts_of())
    state["module.action_expert.pos_embed"] = state["action_expert.pos_embed"]
    assert "has pos_embed twice" in refusal(tmp_path, state)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_vl_state_without_its_prefix(tmp_path: Path, prefix: str) -> None:
    weights = torch.rand(3, 2)
    state: dict[str, Tensor] = flat(parts_of(), prefix)
    state[f"{prefix}vl_model.model.embed_tokens.weight"] = weights
    torch.save({"model_state_dict": state}, tmp_path / "full.pt")
    save_file(state, tmp_path / "bare.safetensors")
    for name in ("full.pt", "bare.safetensors"):
        found = load_vl_state(tmp_path / name)
        assert list(found) == ["model.embed_tokens.weight"]
        assert torch.equal(found["model.embed_tokens.weight"], weights)


def test_a_checkpoint_of_the_heads_has_no_vl_state() -> None:
    assert load_vl_state(PARITY / "concat_stage1_T65.pt") == {}
    assert load_vl_state(PARITY / "concat_full_T50.pt").keys() == {"model.embed_tokens.weight"}


def test_a_vl_state_of_other_values_is_refused(tmp_path: Path) -> None:
    torch.save({"vl_model.scale": 3.0}, tmp_path / "best.pt")
    with pytest.raises(ModelError, match=r"vl_model.scale is a float, not a tensor"):
        load_vl_state(tmp_path / "best.pt")


def test_the_vl_state_stays_in_the_file_until_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.pt"
    torch.save({"vl_model.weight": torch.zeros(64, 1 << 20)}, path)
    before = _own_memory()
    state = load_vl_state(path)
    assert _own_memory() - before < 32e6
    assert state["weight"].shape == (64, 1 << 20)


def _own_memory() -> int:
    """Resident bytes of this process."""
    resident = Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]
    return int(resident) * 4096
