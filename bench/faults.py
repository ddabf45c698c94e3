"""Does every fault to the whole running inference, one after the other, and judges what comes out.

The launched nodes, with the stub for a model, get the rig's full rate on real sockets through the
fault injector's proxies. For each fault: what it was answered with, how many action chunks came
and were withheld while it was on, how many were wrong (``truth`` says what that is; must be 0),
and how long after its end it took until chunks were OK again, for at least a second; a delay ends
with the last packet that it has held back. Then the verdict: how long after the first packet that
the fault touched it named one of the fault's streams, how long after the recovery it was OK and
named none of them (limit 1 s each), and which others it named, as on a machine that is busy.

Of an input whose content is dead or damaged though its stamps go on, or whose stamps make no
sense, no chunk may be OK later than 1 s after the first packet that the fault touched. Exit status
1 if a chunk was wrong, a recovery too slow, or a verdict late.

    .venv/bin/python bench/faults.py [--only "sensor*"] [--seconds 4]
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import load
from fault_cases import Case, cases, suffering
from rig import Heard, Rig, started
from strangers import beside
from verdicts import cleared_after, shown_after, streams_named

from vla_inference_ros.core.health import State
from vla_inference_ros.msg import InferenceStatus
from vla_inference_ros.sim.faults import Faults

# Of a view's image, and of features, by the node whose absence makes them older: what is wrong with
# less is not to be seen [s].
_SOFT_AGE = {"camera_bridge": 0.2, "vlm": 1.0}
_RECOVERY_LIMIT = 3.0  # [s]
_VERDICT_LIMIT = 1.0  # [s]
_VERDICT_STAYS = 1.0  # how long the verdict must have named nothing [s]
_GIVE_UP = 8.0  # waiting for a recovery [s]
_STAY = 1.0  # how long chunks must be OK [s]
_LONGEST_GAP = 2.5 * load.ACTION_PERIOD  # between chunks that come without interruption [s]
_TOUCH_LOOK = 0.01  # how often it is looked whether a fault has begun to act [s]
_SETTLE = 0.3  # until all topics have been heard [s]
_CLOCKS_SETTLE = 3.0  # after a clock was set: long enough to judge the stamps from then on [s]
_SILENCE = 2.0  # after which a bridge may take late packets for those of another clock [s]
_START_LIMIT = 30.0  # until the first OK chunks after the first chunk [s]
_REASON = 50  # characters of a reason in the table


@dataclass(slots=True)
class Outcome:
    """What a fault did. ``recovery`` is None if it never ended."""

    name: str
    state: State
    reason: str
    ok: int
    degraded: int
    withheld: int
    recovery: float | None
    shown: float | None
    cleared: float | None
    is_seen: bool = True
    others: set[str] = field(default_factory=set)
    wrongs: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether the limits are."""
        within = [(self.recovery, _RECOVERY_LIMIT), (self.cleared, _VERDICT_LIMIT)]
        within += [(self.shown, _VERDICT_LIMIT)] if self.is_seen else []
        return not self.wrongs and all(time is not None and time <= limit for time, limit in within)

    def __str__(self) -> str:
        times = "".join(
            f"{'-' if each is None else f'{each:.1f}':>7}"
            for each in (self.recovery, self.shown, self.cleared)
        )
        others = f"  also named: {', '.join(sorted(self.others))}" if self.others else ""
        return (
            f"{self.name:<45} {self.state.name:<9}{self.reason[:_REASON]:<{_REASON}}"
            f"{self.ok:>4}{self.degraded:>6}{self.withheld:>6}{len(self.wrongs):>7}{times}"
            f"  {'ok' if self.kept else 'MISSED'}{others}"
        )


_HEADING = (
    f"{'fault':<45} {'state':<9}{'reason':<{_REASON}}{'OK':>4}{'DEGR.':>6}{'held':>6}"
    f"{'wrong':>7}{'rec. s':>7}{'shown':>7}{'clear':>7}"
)


def recovery_time(chunks: Sequence[tuple[float, bool]], end: float) -> float | None:
    """From ``end`` to the first of the chunks (stamp [Unix s], OK) from which on, for a second at
    least, they come and are OK; None if there is none yet.
    """
    first: float | None = None
    last = end
    for stamp, ok in chunks:
        if stamp < end:
            continue
        if not ok or stamp - last > _LONGEST_GAP:
            first = None
        if ok and first is None:
            first = stamp
        if first is not None and stamp - first >= _STAY:
            return first - end
        last = stamp
    return None


def worst_status(
    statuses: Sequence[tuple[float, InferenceStatus]], begin: float, end: float
) -> tuple[State, str]:
    """The worst state that was reached from ``begin`` to ``end`` [Unix s], and its last reason."""
    state, reason = State.WAIT, "no status"
    for at, status in statuses:
        if begin <= at <= end and State(status.state) >= state:
            state, reason = State(status.state), status.reason
    return state, reason


class Sweep:
    """Does one fault after the other on a rig that runs."""

    def __init__(self, rig: Rig) -> None:
        self._truth, self._proxies, self._listener = rig.truth, rig.proxies, rig.listener
        self._launch, self._ports = rig.launch, rig.ports
        self._judged = 0

    def wait_until_good(self) -> None:
        """Return once chunks are OK and the clocks learnt; SystemExit if they never are."""
        begin = time.time() + _CLOCKS_SETTLE
        while recovery_time(self._flow(), begin) is None:
            if time.time() - begin > _START_LIMIT:
                _, reason = worst_status(self._listener.statuses, begin, time.time())
                raise SystemExit(f"chunks do not stay OK without a fault: {reason}")
            time.sleep(0.1)
        self._judged = len(self._listener.chunks)

    def suffer(self, case: Case, duration: float) -> Outcome:
        """Do a fault for ``duration`` [s] and wait for the recovery."""
        before = self._touched(case)
        begin = self._set(case.faults, {})
        touched: float | None = None
        with beside(case.stranger, self._ports, self._listener.node):
            begin = time.time() if case.stranger else begin
            if case.absent:
                self._launch.freeze(case.absent)
                touched = time.time() + _SOFT_AGE[case.absent]  # nothing is over a limit before
            while time.time() < begin + duration:
                if touched is None and self._touched(case) > before:
                    touched = time.time()
                time.sleep(_TOUCH_LOOK)
        end = self._set({}, case.faults)
        if case.absent:
            end = self._launch.replace(case.absent)
        last_effect = end + max((each.delay for each in case.faults.values()), default=0.0)
        settled = last_effect + _settling_time(case.faults.values())
        while (
            recovery := recovery_time(self._flow(), last_effect)
        ) is None or time.time() < settled:
            if time.time() - last_effect > _GIVE_UP:
                break
            time.sleep(0.1)
        recovered = last_effect + (recovery or 0.0)
        while (
            cleared := cleared_after(self._since(begin), recovered, case.streams)
        ) is None or time.time() < recovered + cleared + _VERDICT_STAYS:
            if time.time() - recovered > _GIVE_UP:
                break
            time.sleep(0.1)
        time.sleep(_SETTLE)
        self._listener.check_alone()
        during = [heard for heard in self._listener.chunks if begin <= heard.stamp < end]
        ok = sum(heard.ok for heard in during)
        expected = round((end - begin) / load.ACTION_PERIOD)
        state, reason = worst_status(self._listener.statuses, begin, end)
        return Outcome(
            case.name,
            state,
            reason,
            ok=ok,
            degraded=len(during) - ok,
            withheld=max(0, expected - len(during)),
            recovery=recovery,
            shown=shown_after(self._since(begin), touched or begin, case.streams),
            cleared=cleared,
            is_seen=case.is_seen,
            others=set().union(*(streams_named(s) for _, s in self._since(begin))) - case.streams,
            wrongs=self._judge() + (_too_long_ok(during, touched or begin) if case.is_dead else []),
        )

    def _touched(self, case: Case) -> int:
        """Packets that the case's proxies have done something to so far."""
        return sum(sum(self._proxies[stream].counts.faults.values()) for stream in case.faults)

    def _since(self, begin: float) -> list[tuple[float, InferenceStatus]]:
        return [(at, status) for at, status in self._listener.statuses if at >= begin]

    def _set(self, faults: dict[str, Faults], before: dict[str, Faults]) -> float:
        """Set all proxies' faults; when that was [Unix s]."""
        now = time.time()
        for stream, ending in {**before, **faults}.items():
            if ending.clock_step or ending.clock_jitter:
                for name in suffering(stream, ending.only):
                    self._truth[name].steps.append(now)
        for stream, proxy in self._proxies.items():
            proxy.faults = faults.get(stream, Faults())
        return now

    def _flow(self) -> list[tuple[float, bool]]:
        return [(heard.stamp, heard.ok) for heard in self._listener.chunks[-100:]]

    def _judge(self) -> list[str]:
        """Of the chunks since the last time, each that is wrong, and why."""
        fresh = self._listener.chunks[self._judged :]
        self._judged += len(fresh)
        wrongs = []
        for heard in fresh:
            features = self._listener.features_of(heard)
            found = self._truth.wrongs(heard.chunk, features, heard.published)
            if found:
                wrongs.append(f"chunk {heard.chunk.chunk_id}: {'; '.join(found)}")
        return wrongs


def _too_long_ok(during: Iterable[Heard], touched: float) -> list[str]:
    """Of the chunks while an input was dead, those that were OK for too long."""
    return [
        f"chunk {heard.chunk.chunk_id}: OK {heard.stamp - touched:.2f} s after the input had died"
        for heard in during
        if heard.ok and heard.stamp > touched + _VERDICT_LIMIT
    ]


def _settling_time(faults: Iterable[Faults]) -> float:
    """How long after its last packet a fault can still do something that is its own [s]."""
    return _CLOCKS_SETTLE * any(map(_upsets_clock, faults))


def _upsets_clock(faults: Faults) -> bool:
    return bool(faults.clock_step or faults.clock_jitter) or faults.delay > _SILENCE


def main() -> int:
    """Do all faults and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="faults whose name fits, as in 'sensor*'")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each fault is on")
    parser.add_argument("--log", type=Path, default=Path("/tmp/faults.log"), help="nodes' output")
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "98")  # not that of the other benches
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    chosen = [case for case in cases() if fnmatch.fnmatch(case.name, arguments.only)]
    if not chosen:
        parser.error(f"no fault fits {arguments.only!r}")
    kept = True
    with started(arguments.log) as rig:
        sweep = Sweep(rig)
        sweep.wait_until_good()
        print(f"output: {arguments.log}\n\n{_HEADING}", flush=True)
        for case in chosen:
            outcome = sweep.suffer(case, arguments.seconds)
            kept = kept and outcome.kept
            print("\n".join([str(outcome), *(f"    {w}" for w in outcome.wrongs[:3])]), flush=True)
        if died := rig.launch.died():
            kept = False
            print(f"{died} node(s) died by themselves and were started again: see the output")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
