"""The messages of MCAP files by their log times, out of as many chunks as overlap in time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from typing import BinaryIO

import numpy as np

from vla_inference_ros.recording.mcap_scan import Loss, McapScan

# Told of each part of a file that cannot be read, and in the end of the messages that were in all
# of them, by channel, as far as the file tells.
Tell = Callable[[McapScan, "Loss | Counter[int]"], None]


def messages(
    files: Sequence[tuple[McapScan, Collection[int]]], tell: Tell
) -> Iterator[tuple[McapScan, int, int, bytes]]:
    """(file, channel, log time, data) of the messages of some channels of each file, by log time;
    those of the same time as they stand there. What is damaged is left out, and ``tell`` is told.
    """
    for scan, _ in files:
        for loss in scan.losses:
            tell(scan, loss)
    starts = np.concatenate([np.asarray(scan.starts, np.uint64) for scan, _ in files])
    owners = np.repeat(np.arange(len(files)), [len(scan.starts) for scan, _ in files])
    firsts = np.cumsum([0] + [len(scan.starts) for scan, _ in files])
    read = [Counter[int]() for _ in files]
    lost = [list(scan.losses) for scan, _ in files]
    waiting: list[tuple[int, int, int, int, bytes]] = []  # also that stand before later spans
    number = count()
    order = np.argsort(starts, kind="stable")
    # A bag can have more files than a process may have open, of which it needs few at a time.
    ends = {int(owners[span]): place for place, span in enumerate(order)}
    streams: dict[int, BinaryIO] = {}
    with ExitStack() as stack:
        for place, span in enumerate(order):
            while waiting and waiting[0][0] < starts[span]:
                stamp, _, owner, channel, data = heapq.heappop(waiting)
                yield files[owner][0], channel, stamp, data
            owner = int(owners[span])
            scan, channels = files[owner]
            inside = int(span - firsts[owner])
            if owner not in streams:
                streams[owner] = stack.enter_context(scan.path.open("rb"))
            losses: list[Loss] = []
            for stamp, channel, found in scan.read_span(streams[owner], inside, channels, losses):
                read[owner][channel] += 1
                if found is not None:
                    heapq.heappush(waiting, (stamp, next(number), owner, channel, found))
            for loss in losses:
                tell(scan, loss)
            lost[owner] += losses
            if ends[owner] == place:
                streams.pop(owner).close()
        while waiting:
            stamp, _, owner, channel, data = heapq.heappop(waiting)
            yield files[owner][0], channel, stamp, data
    for (scan, _), counts, losses in zip(files, read, lost, strict=True):
        unknown = Counter({each: n for each, n in counts.items() if each not in scan.channels})
        if losses or unknown or scan.is_indexed:
            tell(scan, missing(scan, counts, losses))
        if scan.told is None:
            tell(scan, unknown)


def missing(scan: McapScan, read: Counter[int], losses: Sequence[Loss]) -> Counter[int]:
    """How many messages by channel were lost: fewer were ``read`` than the file tells of, or, if it
    does not, than the parts that are damaged tell of.
    """
    told = scan.told
    if told is not None:
        return Counter(told) - read
    return sum((loss.messages for loss in losses), Counter[int]())
