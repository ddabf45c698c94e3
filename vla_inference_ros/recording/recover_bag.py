"""Completes bags whose recorder was killed: each MCAP file's end, and ``metadata.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from vla_inference_ros.recording.bag_files import (
    in_order,
    is_mcap,
    named_files,
    read_metadata,
    storage_files,
)
from vla_inference_ros.recording.bag_metadata import (
    METADATA_FILE,
    Compression,
    information,
    write_metadata,
)
from vla_inference_ros.recording.compressed import (
    SUFFIX,
    compress,
    is_compressed,
    is_whole,
    plain_name,
)
from vla_inference_ros.recording.in_use import check_ended
from vla_inference_ros.recording.kept_aside import keep_aside
from vla_inference_ros.recording.mcap_scan import has_end
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover_compressed import finish_compressed
from vla_inference_ros.recording.recover_mcap import Done, finish


def recover_bag(path: Path) -> list[str]:
    """Bring a bag, or a single MCAP file, to what any tool can open; what was found and done, a
    line each.

    A complete one is left as it is; of any other, what is replaced is kept under another name.
    Raises RecordingError for what cannot be completed, InUseError while its recorder runs, and
    OSError.
    """
    if not path.is_dir():
        check_ended(path.parent, [path])
        return (finish_compressed if is_compressed(path) else finish)(path).lines
    found = [each for each in path.iterdir() if is_mcap(each)]
    check_ended(path, found)
    if not found:
        raise RecordingError(
            f"{path} has no .mcap file to complete; for a bag of .db3 files there is "
            "'ros2 bag reindex'"
        )
    is_by_file = any(is_compressed(each) for each in found)
    names = sorted({plain_name(each) for each in found}, key=in_order)
    done, unread = _each_recovered(names, is_by_file)
    lines = [line for each in done for line in each.lines] + list(_left_out(unread))
    compression: Compression = "FILE" if is_by_file else done[0].compression
    if problem := _trouble(path, any(each.is_changed for each in done), compression):
        old = path / METADATA_FILE
        if old.exists():
            problem = f"{problem}, kept as {keep_aside(old).name}"
        summaries = [each.summary for each in done]
        write_metadata(path, information("mcap", summaries, compression))
        lines.append(f"{METADATA_FILE}: {problem}, made anew")
    return lines


def _each_recovered(
    names: Iterable[Path], is_by_file: bool
) -> tuple[list[Done], dict[Path, RecordingError]]:
    """What was made of a bag's files, and those of which nothing can be made; the error of one of
    them if that is so of all.
    """
    done: list[Done] = []
    unread: dict[Path, RecordingError] = {}
    for each in names:
        try:
            done.append(_recovered(each) if is_by_file else finish(each))
        except RecordingError as error:
            unread[each] = error
    if not done:
        raise next(iter(unread.values()))
    return done, unread


def _left_out(unread: Mapping[Path, RecordingError]) -> Iterator[str]:
    """Take files out of their bag, which is complete without them; what is told of each."""
    for plain, error in unread.items():
        for path in (plain, plain.with_name(plain.name + SUFFIX)):
            if path.exists():
                yield f"{path.name}: left out, kept as {keep_aside(path).name}: {error}"


def _recovered(plain: Path) -> Done:
    """Of a bag whose files are compressed as a whole: one of them, which is compressed in the end.
    Of one that is there also as it was before, the compressed one is it, if that is whole.
    """
    compressed = plain.with_name(plain.name + SUFFIX)
    if not plain.exists() or (compressed.exists() and is_whole(compressed)):
        return finish_compressed(compressed)
    if compressed.exists() and not has_end(plain):  # left by a player
        return finish_compressed(compressed)
    done = finish(plain)
    lines = list(done.lines)
    if compressed.exists():
        lines.append(f"{compressed.name}: cut off, kept as {keep_aside(compressed).name}")
    compress(plain, compressed)
    lines.append(f"{compressed.name}: compressed now, as the others of the bag are")
    return Done(replace(done.summary, name=compressed.name), True, lines)


def _trouble(folder: Path, is_changed: bool, compression: Compression) -> str:
    """What is wrong with a bag's metadata.yaml; empty if nothing. Of files that were changed it
    tells what they held before.
    """
    if not (folder / METADATA_FILE).exists():
        return "missing"
    try:
        content = read_metadata(folder)
        named = named_files(folder, content)
    except RecordingError:
        return "damaged"
    if set(map(plain_name, named)) != set(map(plain_name, storage_files(folder))):
        return "not of all files"
    mode = str(content.get("compression_mode") or "none").upper()
    if compression == "MESSAGE" and mode == "NONE":
        return "without how its messages are compressed"
    return "of what the files held before" if is_changed else ""
