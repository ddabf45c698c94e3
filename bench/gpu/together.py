"""Whether a VL update delays the expert's steps: in two processes as the nodes are, and in one."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np
from report import Row
from step import REUSE, random_inputs

from gpu.guard import guarded
from gpu.settings import Settings
from gpu.updating import UpdateBench
from vla_inference_ros.core.worker import Worker
from vla_inference_ros.model.policy import HeadsPolicy

_PERIOD = 0.01  # of the steps [s]; ten times as often as the node's, so that few seconds do
_LOADING, _ENDING = 90.0, 30.0  # the longest that the other process may take for it [s]
_TARGET_MS = 2.0  # of a step

Seconds = list[float]


class _Ordinary(HeadsPolicy):
    stream_priority = 0


_KINDS: dict[str, type[HeadsPolicy]] = {"with": HeadsPolicy, "without": _Ordinary}


def rows(settings: Settings) -> Iterator[Row]:
    """Steps alone, beside another process's updates, and beside updates of the same process."""
    steps = _Steps(settings)
    yield from _measured(settings, steps, "alone")
    yield from guarded("two processes", _beside(settings, steps, "two processes", _process))
    yield from guarded("one process", _beside(settings, steps, "one process", _thread))


def _beside(
    settings: Settings,
    steps: _Steps,
    name: str,
    updating: Callable[[Settings, Seconds], Iterator[None]],
) -> Iterator[Row]:
    updates: Seconds = []
    with contextmanager(updating)(settings, updates):
        yield from _measured(settings, steps, name)
    if not updates:
        raise RuntimeError("no update ended while the steps were timed")
    value = f"{np.median(updates) * 1e3:.2f} / {max(updates) * 1e3:.2f}, {len(updates)}"
    yield Row(f"{name}: update median / max [ms], number", value)


def _measured(settings: Settings, steps: _Steps, name: str) -> Iterator[Row]:
    for priority, kind in _KINDS.items():
        seconds = steps.timed(kind)
        median, p99 = (float(np.percentile(seconds, q)) * 1e3 for q in (50, 99))
        value = f"{median:.2f} / {p99:.2f} / {max(seconds) * 1e3:.2f}"
        title = f"{name}, {priority} priority, median/p99/max [ms]"
        limit = f"p99 <= {_TARGET_MS:g}" if settings.on_gpu else ""
        yield Row(title, value, limit, p99 <= _TARGET_MS if limit else None)


class _Steps:
    """The expert's steps in a steady rhythm, as its node makes them."""

    def __init__(self, settings: Settings) -> None:
        heads = settings.heads()
        self._inputs = random_inputs(heads, settings.steps)
        self._policies = {
            kind: kind(*heads, "", settings.device, "float32") for kind in _KINDS.values()
        }
        for kind in self._policies:
            self.timed(kind)  # captures the graphs while nothing else is there

    def timed(self, kind: type[HeadsPolicy]) -> Seconds:
        """How long each step takes."""
        policy, (features, windows) = self._policies[kind], self._inputs
        taken = []
        due = time.perf_counter()
        for number, window in enumerate(windows):
            due = max(due + _PERIOD, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
            began = time.perf_counter()
            policy.act(features[number // REUSE], window)
            taken.append(time.perf_counter() - began)
        return taken


def _thread(settings: Settings, updates: Seconds) -> Iterator[None]:
    """Updates in a thread of this process."""
    update = _updater(settings)

    def work(stopping: threading.Event) -> None:
        while not stopping.is_set():
            updates.append(update())

    worker = Worker("updates", work)
    worker.start()
    try:
        yield
    finally:
        if not worker.stop(_ENDING):
            raise RuntimeError(f"an update has not ended in {_ENDING:g} s")
    if worker.error is not None:
        raise worker.error


def _process(settings: Settings, updates: Seconds) -> Iterator[None]:
    """Updates in a process of their own, as the node makes them."""
    context = multiprocessing.get_context("spawn")
    own, others = context.Pipe()
    process = context.Process(target=_update_until_told, args=(settings, others), daemon=True)
    process.start()
    others.close()  # its end is now the process's alone, so that its end is seen
    try:
        _receive(own, _LOADING)
        yield
        own.send(None)
        updates += _receive(own, _ENDING)
    finally:
        process.kill()
        process.join()


def _receive(connection: Connection, timeout: float) -> Seconds:
    if not connection.poll(timeout):
        raise RuntimeError(f"the process with the updates says nothing for {timeout:g} s")
    try:
        received: Seconds = connection.recv()
    except EOFError:
        raise RuntimeError("the process with the updates has ended; its error is above") from None
    return received


def _update_until_told(settings: Settings, connection: Connection) -> None:
    """What the other process does; it ends as well when nobody listens any more."""
    settings.prepare()
    update, updates = _updater(settings), Seconds()
    connection.send([])
    while not connection.poll():
        updates.append(update())
    connection.recv()
    connection.send(updates)


def _updater(settings: Settings) -> Callable[[], float]:
    """Makes an update with five new pictures and returns how long it took [s]; it is warm."""
    bench = UpdateBench(settings)
    bench.pair.make_room()
    ours = bench.ours()

    def update() -> float:
        views = bench.new_views()
        began = time.perf_counter()
        ours(views)
        return time.perf_counter() - began

    update()
    return update
