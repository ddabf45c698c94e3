"""``vla-replay RECORDING``: computes recorded action chunks again, from exactly the pictures and
samples that their lineage names, and shows what differs.

No graph and no clock: the same recording, model and device always give the same output.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vla_inference_ros.core.number_text import number_or_nan
from vla_inference_ros.core.printable import printable
from vla_inference_ros.model.interface import ActionModel, FeatureModel, ModelError
from vla_inference_ros.recording.ending import failed, tell_left_out
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import Recording, RecordingError
from vla_inference_ros.replay.difference import Differences, Models, report
from vla_inference_ros.replay.difference_file import DifferenceFile, summary
from vla_inference_ros.replay.lineage import NotRecordedError, RecordedChunk, recorded_chunks
from vla_inference_ros.replay.models import (
    ModelOptions,
    load_recorded_action_model,
    load_recorded_feature_model,
)
from vla_inference_ros.replay.pictures import RecordedPictures
from vla_inference_ros.replay.updates import (
    FeatureDifferences,
    RecomputedUpdates,
    RecordedUpdates,
)
from vla_inference_ros.replay.windows import RecordedSamples

_FUSIONS = ("concat", "cross_attention", "gated", "none")  # named here to start without torch
_STRICT = "exit status 1 also if chunks could not be compared, or anything recorded is odd"
_PRECISIONS = ("auto", "float32", "bfloat16", "float16", "float8")

FeatureSource = Callable[[RecordedChunk], NDArray[np.float32]]  # a chunk's (1, S, V)


def compare(
    recording: Recording,
    policy: ActionModel,
    features: FeatureSource,
    differences: Differences,
    *,
    limit: int | None = None,
    file: DifferenceFile | None = None,
) -> None:
    """Compute the first ``limit`` chunks again, or all, and note what differs.

    Raises RecordingError and ModelError.
    """
    samples = RecordedSamples(recording.samples())
    results = tqdm(recording.results(), disable=None, unit=" chunks", leave=False)
    for chunk in islice(recorded_chunks(recording, results), limit):
        try:
            values, window = features(chunk), samples.window(chunk)
        except NotRecordedError as reason:
            differences.skip(chunk, str(reason))
            if file:
                file.skipped(chunk, str(reason))
            continue
        error = differences.compare(chunk, policy.act(values, window).actions)
        if file:
            file.compared(chunk, error, differences.tolerance)


def _run(options: argparse.Namespace) -> int:
    recording = open_recording(options.recording, options.strict)
    first = next(recorded_chunks(recording, recording.results()), None)
    if first is None:
        raise RecordingError(
            f"{options.recording} has no action chunk: there is nothing to compare"
        )
    first_update = next(recording.features(), None)
    if options.features == "recorded" and first_update is None:
        raise RecordingError(
            f"{options.recording} has no VLM features, as no run folder has: record a bag, or "
            "leave out --features recorded"
        )
    model_options = ModelOptions(
        options.model,
        options.checkpoint,
        options.fusion_strategy,
        options.device,
        options.dtype,
        options.adapter_config,
        options.lora_alpha,
    )
    vlm: FeatureModel | None = None
    if options.features == "recomputed":
        vlm = load_recorded_feature_model(model_options, first.features_model_id)
    policy = load_recorded_action_model(model_options, first.model_id)
    differences = Differences(options.tolerance)
    of_features = FeatureDifferences(options.tolerance)
    updates = None if first_update is None else RecordedUpdates(recording.features())
    features = _source(recording, updates, vlm, options.instruction, of_features)
    with ExitStack() as stack:
        file = stack.enter_context(DifferenceFile(options.json)) if options.json else None
        compare(recording, policy, features, differences, limit=options.limit, file=file)
        now = Models(policy.model_id, vlm.model_id if vlm else None)
        passes = differences.passes(options.strict)
        if file:
            file.finish({**summary(differences, of_features, now), "passes": passes})
    tell_left_out("vla-replay", recording)
    print(
        f"{options.recording.name}\n",
        *map(printable, report(differences, of_features, now)),
        sep="\n",
    )
    return 0 if passes else 1


def _source(
    recording: Recording,
    updates: RecordedUpdates | None,
    vlm: FeatureModel | None,
    instruction: str | None,
    differences: FeatureDifferences,
) -> FeatureSource:
    """Features of the VLM, or without one those of the recording."""
    if vlm is None:
        assert updates is not None
        recorded = updates
        return lambda chunk: recorded.of(chunk).data
    pictures = RecordedPictures(recording.frames())
    return RecomputedUpdates(pictures, updates, vlm, instruction, differences).of


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vla-replay",
        description="Compute the action chunks of a recording again and show what differs. Exit "
        "status 0: all that could be compared are equal; 1: some are not, or none could be.",
    )
    add = parser.add_argument
    add("recording", type=Path, metavar="RECORDING", help="a bag or a run folder")
    add("--model", default="", help="the VLM; default: the recorded one, if it is tiny or stub")
    add("--checkpoint", default="", metavar="FILE", help="trained weights, as for the launch")
    add("--adapter-config", default="", metavar="FILE", help="of the checkpoint's LoRA, by PEFT")
    add("--lora-alpha", type=_alpha, default=0.0, metavar="ALPHA", help="of the checkpoint's LoRA")
    add("--fusion-strategy", default="concat", choices=_FUSIONS, help="of the checkpoint")
    add("--dtype", default="auto", choices=_PRECISIONS, help="precision of the weights")
    add("--device", default="cpu", help="torch device: auto, cpu, cuda or cuda:N")
    add("--instruction", help="the prompt; default: the recorded one")
    add(
        "--features",
        default="recomputed",
        choices=("recorded", "recomputed"),
        help="recorded: replay the action expert alone, without a VLM; needs a bag",
    )
    add(
        "--tolerance",
        type=_tolerance,
        default=1e-6,
        metavar="ERROR",
        help="largest difference of a number for a chunk to be equal (default: %(default)g)",
    )
    add("--strict", action="store_true", help=_STRICT)
    add("--limit", type=_count, metavar="N", help="only the first N chunks")
    add("--json", type=Path, metavar="FILE", help="write the differences of all chunks there")
    return parser


def _tolerance(text: str) -> float:
    value = number_or_nan(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return value


def _alpha(text: str) -> float:
    value = number_or_nan(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number over 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def main(given: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    options = _parser().parse_args(given)
    try:
        return _run(options)
    except (RecordingError, ModelError, OSError, MemoryError) as error:
        return failed("vla-replay", error)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
