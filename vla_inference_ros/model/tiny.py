"""Builds ``model:=tiny``: the real architecture, small, with random weights and no download.

Owns the small sizes, the tokenizer and the seed. What is computed with them is ``qwen`` and
``policy``, as for trained weights.
"""

from __future__ import annotations

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import nn

from vla_inference_ros.core.wire import SENSOR_CHANNELS
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.identity import weights_digest
from vla_inference_ros.model.interface import ACTION_NAMES, HORIZON, SENSOR_WINDOW
from vla_inference_ros.model.policy import HeadsPolicy
from vla_inference_ros.model.qwen.features import QwenFeatures

SEED = 0
NAME = f"tiny (random weights, seed {SEED})"
FEATURE_SIZE = 64
_SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Wider than the usual 0.02: so narrow a model must not shrink its input away.
_WEIGHT_STD = 0.1


def tiny_features(device: torch.device, precision: str = "float32") -> QwenFeatures:
    """Features from Qwen2.5-VL's classes, small: two vision blocks and two text layers."""
    tokenizer = byte_tokenizer()
    model = vision_language_model(tokenizer)
    return QwenFeatures(model, tokenizer, _model_id(precision, model), device, precision)


def vision_language_model(tokenizer: Tokenizer) -> nn.Module:
    """A ``Qwen2_5_VLModel`` in eval mode; one vision block is windowed, the other is not."""
    # The action expert's node takes its policy from this module too and needs no transformers.
    from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLConfig
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": tokenizer.get_vocab_size(),
            "hidden_size": FEATURE_SIZE,
            "intermediate_size": 2 * FEATURE_SIZE,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1_000_000.0,
                "mrope_section": [4, 6, 6],  # time, height, width: half a head in all
            },
            "initializer_range": _WEIGHT_STD,
            "bos_token_id": None,
            "eos_token_id": None,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 1,
            "out_hidden_size": FEATURE_SIZE,
            "fullatt_block_indexes": [1],
            "initializer_range": _WEIGHT_STD,
        },
        image_token_id=tokenizer.token_to_id("<|image_pad|>"),
        video_token_id=tokenizer.token_to_id("<|video_pad|>"),
        vision_start_token_id=tokenizer.token_to_id("<|vision_start|>"),
        vision_end_token_id=tokenizer.token_to_id("<|vision_end|>"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model: nn.Module = Qwen2_5_VLModel(config).eval()
    return model


def tiny_policy(
    device: torch.device, fusion: str = "concat", precision: str = "float32"
) -> HeadsPolicy:
    """:func:`tiny_heads` as an action model."""
    encoder, expert = tiny_heads(fusion)
    return HeadsPolicy(encoder, expert, _model_id(precision, encoder, expert), device, precision)


def tiny_heads(fusion: str = "concat") -> tuple[SensorEncoder, ActionExpert]:
    """A sensor encoder and an action expert of the rig's shapes with few hidden units."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        encoder = SensorEncoder(
            channels=SENSOR_CHANNELS, window=SENSOR_WINDOW, hidden=32, output=96
        )
        expert = ActionExpert(
            vl_dim=FEATURE_SIZE,
            sensor_dim=96,
            hidden=64,
            horizon=HORIZON,
            action_dim=len(ACTION_NAMES),
            fusion=fusion,
        )
    return encoder, expert


def byte_tokenizer() -> Tokenizer:
    """Byte-level BPE like Qwen's, with its special tokens but no merges: a token is a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL_TOKENS])
    return tokenizer


def _model_id(precision: str, *modules: nn.Module) -> str:
    return f"{NAME} {weights_digest(*modules)} {precision}"
