"""What a plain single-script receiver does on the model's side, to compare ours with.

Owns its steps as such a script has them: pictures through temporary JPEG files and PIL,
transformers' whole model with its language-model head, and the action expert's modules as they
are. Also owns a Qwen2.5-VL of the real widths with random weights, and photographs to show it.
Nothing here is made faster or slower than it was. Does not own timing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch
from cost import FULL, MERGE, PATCH, SMALL, VOCABULARY, WINDOW, Widths, full_attention_blocks
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLForConditionalGeneration

from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import ActionSteps, View
from vla_inference_ros.model.qwen.patches import PATCH_SIZE, PATCHES_PER_VIEW, write_patches
from vla_inference_ros.model.tiny import byte_tokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

SEED = 0
PHOTOGRAPHS = (  # those that scikit-image's wheel contains, in colour
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "retina",
    "immunohistochemistry",
    "hubble_deep_field",
)
_SIZE = (640, 360)  # width and height of the temporary pictures, in pixels
_FACTOR = 28  # pixels, both ways, of one token
_WEIGHT_STD = 0.02
_WIDTHS: dict[str, Widths] = {"full": FULL, "small": SMALL}


def photographs(count: int) -> list[bytes]:
    """``count`` different photographs as a camera sends them: JPEGs of 1280x720, quality 72."""
    if not 0 <= count <= len(PHOTOGRAPHS):
        raise ValueError(f"{count} photographs: there are {len(PHOTOGRAPHS)}")
    import skimage.data  # here, as Pillow below: the expert step needs neither

    jpegs = []
    for name in PHOTOGRAPHS[:count]:
        bgr = cv2.cvtColor(getattr(skimage.data, name)(), cv2.COLOR_RGB2BGR)
        bgr = cv2.resize(bgr, (1280, 720))
        jpegs.append(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 72])[1].tobytes())
    return jpegs


def reference_processor() -> Any:
    """Transformers' image processor as the receiver sets it."""
    try:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil as Processor,
        )
    except ModuleNotFoundError:  # its place and name in transformers 5.0
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import (
            Qwen2VLImageProcessor as Processor,
        )

    pixels = _SIZE[0] * _SIZE[1]
    return Processor(min_pixels=pixels, max_pixels=pixels)


def reference_pixels(jpegs: Sequence[bytes], processor: Any) -> tuple[Tensor, Tensor]:
    """``(pixel_values, image_grid_thw)``: (n * 1056, 1176) float32 and (n, 3) int64.

    ``processor`` is :func:`reference_processor`'s. Each picture is decoded, brought to 640x360,
    written to a temporary JPEG file, read again by PIL, resized as qwen_vl_utils does and, in the
    processor, resized once more.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index, jpeg in enumerate(jpegs):
            bgr = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
            if bgr is None:
                raise ValueError(f"picture {index} of {len(jpeg)} bytes cannot be decoded")
            path = Path(folder, f"view{index}.jpg")
            cv2.imwrite(str(path), cv2.resize(bgr, _SIZE))
            paths.append(path)
        inputs = processor(images=[_fetch(path) for path in paths], return_tensors="pt")
    return inputs["pixel_values"], inputs["image_grid_thw"]


def our_pixels(views: Sequence[View]) -> Tensor:
    """``pixel_values`` (n * 1056, 1176) of the very pixels that our model reads."""
    patches = np.empty((len(views), PATCHES_PER_VIEW, PATCH_SIZE), dtype=np.uint8)
    for view, out in zip(views, patches, strict=True):
        write_patches(view, out)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    normalised = (torch.from_numpy(patches).view(-1, PATCH, PATCH, 3) / 255 - mean) / deviation
    in_time = normalised.permute(0, 3, 1, 2).unsqueeze(2).expand(-1, -1, 2, -1, -1)
    return in_time.reshape(-1, 6 * PATCH * PATCH)


def _fetch(path: Path) -> Image:
    """A picture with sides of whole tokens, which is 644x364 for 640x360.

    These are qwen_vl_utils' limits for a picture with none of its own. With 640*360 pixels as both
    limits here too, this step would give 616x336, and the processor, which then finds too few
    pixels, 672x364: 312 tokens a view in place of the 264 that checkpoints are trained with.
    """
    import PIL.Image

    with PIL.Image.open(path) as file:
        image = file.convert("RGB")
    width, height = (round(side / _FACTOR) * _FACTOR for side in image.size)
    return image.resize((width, height))


def reference_input_ids(tokenizer: Tokenizer, instruction: str, grid: Tensor) -> Tensor:
    """(1, S) int64 tokens of one user message: the views of ``grid`` (n, 3), then the text."""
    tokens = [count // MERGE**2 for count in grid.prod(dim=1).tolist()]
    images = ["<|vision_start|>" + "<|image_pad|>" * n + "<|vision_end|>" for n in tokens]
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"{''.join(images)}{instruction}<|im_end|>\n"
    )
    return torch.tensor([tokenizer.encode(text, add_special_tokens=False).ids])


@torch.inference_mode()
def reference_feature(model: Any, input_ids: Tensor, pixel_values: Tensor, grid: Tensor) -> Tensor:
    """(1, 1, V) on the model's device, in its dtype: the mean of the last hidden state.

    ``model`` is a ``Qwen2_5_VLForConditionalGeneration``, called with transformers' defaults: it
    finds the positions, fills a cache and computes the logits of all tokens. Inputs may be on the
    host. On a GPU the result is there only once the device is synchronised.
    """
    input_ids = input_ids.to(model.device)
    outputs = model(
        input_ids=input_ids,
        attention_mask=torch.ones_like(input_ids),
        mm_token_type_ids=torch.eq(input_ids, model.config.image_token_id).int(),
        pixel_values=pixel_values.to(model.device),
        image_grid_thw=grid.to(model.device),
        output_hidden_states=True,
    )
    feature: Tensor = outputs.hidden_states[-1].mean(dim=1, keepdim=True)
    return feature


@torch.inference_mode()
def reference_chunk(
    encoder: SensorEncoder, expert: ActionExpert, vl_tokens: Tensor, window: NDArray[np.float32]
) -> ActionSteps:
    """One chunk from vl_tokens (1, S, V) and a window (T, C), by the modules as they are.

    Both modules are in eval mode and, like ``vl_tokens``, on one device in one dtype; the result is
    on the host.
    """
    samples = torch.tensor(window).unsqueeze(0).to(vl_tokens)
    actions, delta = expert(vl_tokens, encoder(samples))
    return ActionSteps(actions[0].float().cpu().numpy(), delta[0].float().cpu().numpy())


@torch.no_grad()
def build_qwen(
    width: Literal["full", "small"],
    vision_blocks: int,
    text_layers: int,
    vocabulary: int = VOCABULARY,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Any:
    """A ``Qwen2_5_VLForConditionalGeneration`` in eval mode with random weights, on ``device``.

    ``full`` has the widths of Qwen2.5-VL-3B-Instruct, which has 32 vision blocks and 36 text
    layers; ``small`` is for tests. The image's token is that of ``tiny.byte_tokenizer``, whose 263
    tokens any ``vocabulary`` must hold. The same weights come again on the same kind of device.
    """
    config = qwen_configuration(_WIDTHS[width], vision_blocks, text_layers, vocabulary)
    with torch.device("meta"):
        model: Any = Qwen2_5_VLForConditionalGeneration(config)
    model.to(dtype).to_empty(device=device)
    model.tie_weights()  # undone by to_empty
    generator = torch.Generator(device).manual_seed(SEED)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(0.0, _WEIGHT_STD, generator=generator)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)  # the others are norms
    # Their frequencies are in no state dict and stay in float32, as in a loaded model.
    for parent in (model.model.visual, model.model.language_model):
        name = "rotary_pos_emb" if parent is model.model.visual else "rotary_emb"
        rotary = getattr(parent, name)
        made_of = rotary.config if hasattr(rotary, "config") else rotary.dim  # in transformers 5.0
        setattr(parent, name, type(rotary)(made_of).to(device))
    return model.eval()


def qwen_configuration(widths: Widths, blocks: int, layers: int, vocabulary: int) -> Any:
    """The ``Qwen2_5_VLConfig`` of :func:`build_qwen`."""
    tokenizer = byte_tokenizer()
    if vocabulary < tokenizer.get_vocab_size():
        raise ValueError(
            f"vocabulary {vocabulary} is too small for {tokenizer.get_vocab_size()} tokens"
        )
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": widths.hidden,
            "intermediate_size": widths.intermediate,
            "num_hidden_layers": layers,
            "num_attention_heads": widths.heads,
            "num_key_value_heads": widths.kv_heads,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1_000_000.0,
                "mrope_section": list(widths.mrope_section),
            },
            "bos_token_id": None,
            "eos_token_id": None,
        },
        vision_config={
            "depth": blocks,
            "hidden_size": widths.vision_hidden,
            "intermediate_size": widths.vision_intermediate,
            "num_heads": widths.vision_heads,
            "out_hidden_size": widths.hidden,
            "window_size": WINDOW,
            "fullatt_block_indexes": full_attention_blocks(blocks),
            "tokens_per_second": 2,
        },
        image_token_id=tokenizer.token_to_id("<|image_pad|>"),
        video_token_id=tokenizer.token_to_id("<|video_pad|>"),
        vision_start_token_id=tokenizer.token_to_id("<|vision_start|>"),
        vision_end_token_id=tokenizer.token_to_id("<|vision_end|>"),
        tie_word_embeddings=True,
    )
