"""Everything that only a GPU can tell, in one run of at most eight minutes.

Needs torch 2.11 or newer, transformers 5, numpy, OpenCV, safetensors and scikit-image; no ROS, no
installation of this package, no network. What needs another package, or one that is missing, is
named and left out. Six parts, each in a process of its own: what fails or hangs in one leaves the
others alone, and each figure is printed as soon as it is there. The last lines are a block for
bench/RESULTS.md. Without a GPU a reduced form runs on the CPU, whose times mean nothing.

Exit status 1 if a part failed, was cut short or came too late, or if a limit was not kept.

    python3 bench/on_gpu.py [--parts 2,4] [--seconds 480] [--out FILE or FOLDER] [--reduced]
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
# The package's root, and this folder also for the processes that are started.
sys.path[:0] = [path for path in (str(_HERE), str(_HERE.parent)) if path not in sys.path]

from gpu.parts import PARTS, Part  # noqa: E402 - it lies on that path
from gpu.schedule import Outcome, run  # noqa: E402

_SECONDS = 480.0


def main() -> int:
    """Run the parts, print the block and write it."""
    options = _options()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        import torch
        from gpu.block import block, facts, write
    except ModuleNotFoundError as error:
        print(f"on_gpu: there is no module {error.name!r}: install it first", file=sys.stderr)
        return 2
    reduced = options.reduced or not torch.cuda.is_available()
    about, command = facts(reduced), shlex.join(["python3", "bench/on_gpu.py", *sys.argv[1:]])
    print(f"{about.device}; driver {about.driver}; torch {about.torch}", flush=True)
    outcomes: list[Outcome] = []

    def save() -> None:  # after each part, so that even a run that is killed leaves it
        if options.out is None:
            return
        try:
            write(options.out, about, command, outcomes)
        except OSError as error:  # the figures are on the screen, and the next ones count too
            print(f"on_gpu: {error}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run(options.parts, options.seconds, reduced, outcomes, save)
    finally:
        save()
        print(f"\n{block(about, command, outcomes)}", flush=True)
    return 0 if all(outcome.kept for outcome in outcomes) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", type=_parts, default=PARTS, help="such as 1,3; all by default")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for all of it")
    out = os.environ.get("OUT")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(out) if out else None,
        help="file for the block, with JSON beside it, or a folder for both; $OUT by default",
    )
    parser.add_argument("--reduced", action="store_true", help="the small form, on the CPU")
    options = parser.parse_args()
    if options.out is not None and not options.out.absolute().parent.is_dir():
        parser.error(f"--out {options.out}: there is no folder {options.out.parent}")
    return options


def _parts(text: str) -> tuple[Part, ...]:
    numbers = {str(part.number): part for part in PARTS}
    try:
        return tuple(numbers[name] for name in text.split(","))
    except KeyError as error:
        raise argparse.ArgumentTypeError(
            f"{error} is no part: they are {', '.join(numbers)}"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
