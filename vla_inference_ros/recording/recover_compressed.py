"""Completes an MCAP file that rosbag2 has compressed as a whole."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from vla_inference_ros.recording.compressed import Decompressed, compress, plain_name
from vla_inference_ros.recording.kept_aside import keep_aside, name_aside
from vla_inference_ros.recording.recover_mcap import Done, Survey, finish


def finish_compressed(path: Path) -> Done:
    """Bring a compressed file to what any tool can open; one that is so already is left as it is.
    Raises RecordingError if nothing can be made of it, and OSError, which leaves it as it was.
    """
    source = Decompressed(path)
    survey = Survey.of(source.path, str(path))
    if survey.is_good and not source.trouble:
        return survey.as_it_is(path.name)
    with TemporaryDirectory(prefix=".recovering_", dir=path.parent) as folder:
        inner = Path(folder, plain_name(path).name)
        shutil.copyfile(source.path, inner)
        done = finish(inner, str(path))
        summary = replace(done.summary, name=path.name)
        new = name_aside(path, ".part")
        compress(inner, new)
    kept = keep_aside(path)
    new.rename(path)
    first = (
        f"{path.name}: {summary.messages} whole messages, written anew; the file as it was is "
        f"kept as {kept.name}"
    )
    trouble = [f"  {source.trouble}"] if source.trouble else []
    return Done(summary, True, [first, *trouble, *done.lines[1:]], done.compression)
