"""What can go wrong between a sender and its bridge, done on purpose and counted.

Owns which packets are lost, late, doubled, damaged, frozen or wrongly stamped. Does not own sockets
or clocks: whoever uses a :class:`FaultLine` says what time it is.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from random import Random

from vla_inference_ros.core.wire import WireError
from vla_inference_ros.sim.formats import Format, Packet, Times
from vla_inference_ros.sim.spoilt import CONTENTS, OWN, SpoiltContent

# From and to, both included; delays are short enough for all that waits to fit into memory.
LIMITS = {
    "delay": (0.0, 5.0),
    "jitter": (0.0, 5.0),
    "loss": (0.0, 1.0),
    "reorder": (0.0, 1.0),
    "duplicate": (0.0, 1.0),
    "corrupt": (0.0, 1.0),
    "clock_step": (-1e9, 1e9),
    "clock_drift": (-1e5, 1e5),
    "clock_jitter": (0.0, 1e9),
}
LONGEST_HOLD = 0.5  # how long a packet waits to be overtaken before it goes anyway [s]
_MOST_FLIPPED_BITS = 8
_MOST_ADDED_BYTES = 64


@dataclass(frozen=True, slots=True)
class Faults:
    """What one stream suffers; the default is nothing.

    ``delay`` and ``jitter`` (uniform, from 0) [s] add up. ``loss``, ``reorder`` (sent after the
    next one), ``duplicate`` and ``corrupt`` are probabilities of each packet. ``clock_step`` [s]
    and ``clock_drift`` [ppm, from the first time that it is applied to] move every time inside the
    packets, and ``clock_jitter`` [s] those of each packet by up to that either way, as a clock that
    jumps about. ``frozen`` repeats the content of the first packet after it is set at the rate of
    those that come, with its times unless ``frozen_stamps`` is false. ``content`` is one of the
    stream's ``spoilt.CONTENTS``. Only packets of sources (cameras) whose name contains ``only``
    suffer.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    clock_step: float = 0.0
    clock_drift: float = 0.0
    clock_jitter: float = 0.0
    frozen: bool = False
    frozen_stamps: bool = True
    content: str = OWN
    only: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value!r}, not {low:g} to {high:g}")
        known = dict.fromkeys(what for contents in CONTENTS.values() for what in contents)
        if self.content not in known:
            raise ValueError(f"content is {self.content!r}, not one of {', '.join(known)}")


_NONE = Faults()


@dataclass(frozen=True, slots=True)
class FaultCounts:
    """Packets so far. ``passed`` were handed on, second copies included; others wait or are lost.

    ``delayed`` had a delay or jitter, ``shifted`` had their times moved; one packet may count
    under several faults.
    """

    received: int = 0
    passed: int = 0
    lost: int = 0
    delayed: int = 0
    reordered: int = 0
    duplicated: int = 0
    corrupted: int = 0
    shifted: int = 0
    frozen: int = 0
    spoilt: int = 0

    @property
    def faults(self) -> dict[str, int]:
        """How often each fault was done, by name."""
        counts = asdict(self)
        return {name: counts[name] for name in counts if name not in ("received", "passed")}


class FaultLine:
    """A stream's packets from one end to the other, and what happens to them on the way.

    Belongs to one thread, but ``faults`` may be replaced and ``counts`` read from any. Times are
    those of one steady clock [s]. With one seed the same packets suffer, and a fault that is added
    changes nothing about which suffer the others. A packet that cannot be read passes unchanged by
    the clock and by freezing. On an ordered stream packets of one source keep their order, unless
    they are reordered on purpose.
    """

    def __init__(self, form: Format, seed: int = 0) -> None:
        self.faults = Faults()
        self.counts = FaultCounts()
        self._format = form
        self._dice = Random(f"{seed} {form.name}")
        self._damage = Random(f"{seed} {form.name} damage")
        self._clock = Random(f"{seed} {form.name} clock")
        self._number = itertools.count()  # decides between packets that are due at the same time
        self._queue: list[tuple[float, int, Packet]] = []  # a heap
        self._held: dict[str, tuple[float, list[Packet]]] = {}  # since when due, by source
        self._last_due: dict[str, float] = {}
        self._seen = self.faults
        self._kept: dict[str, tuple[Packet, Times]] = {}  # what a frozen source repeats
        self._drift_start: float | None = None
        self._spoilt: SpoiltContent | None = None

    @property
    def next_due(self) -> float | None:
        """When the next packet is to be handed on; None if none waits."""
        dues = [due + LONGEST_HOLD for due, _ in self._held.values()]
        dues += [due for due, *_ in self._queue[:1]]
        return min(dues, default=None)

    def put(self, packet: Packet, now: float) -> None:
        """Take a packet that has come."""
        faults = self.faults
        self._notice(faults)
        lost, late, held, doubled, damaged = (self._dice.random() for _ in range(5))
        self._count("received")
        source = ""
        if faults != _NONE or self.next_due is not None:  # otherwise nobody needs to read it
            source = self._format.source(packet)
            if faults.only not in source:
                faults = _NONE
        if lost < faults.loss:
            self._count("lost")
            return
        packet = self._altered(packet, source, faults)
        if damaged < faults.corrupt:
            self._count("corrupted")
            packet = corrupted(packet, self._damage)
        copies = [packet]
        if doubled < faults.duplicate:
            self._count("duplicated")
            copies.append(packet)
        if faults.delay or faults.jitter:
            self._count("delayed")
        due = now + faults.delay + late * faults.jitter
        if self._format.ordered:
            due = max(due, self._last_due.get(source, due))
        if source not in self._held and held < faults.reorder:
            self._count("reordered")
            self._held[source] = (due, copies)
            return
        self._push(copies, due, source)
        held_due, overtaken = self._held.pop(source, (due, []))
        self._push(overtaken, max(due, held_due), source)

    def ready(self, now: float) -> list[Packet]:
        """Hand on the packets that are due, in order."""
        for source, (due, copies) in list(self._held.items()):
            if due + LONGEST_HOLD <= now:
                del self._held[source]
                self._push(copies, due + LONGEST_HOLD, source)
        packets = []
        while self._queue and self._queue[0][0] <= now:
            packets.append(heapq.heappop(self._queue)[2])
            self._count("passed")
        self._last_due = {of: due for of, due in self._last_due.items() if due > now}
        return packets

    def _push(self, copies: list[Packet], due: float, source: str) -> None:
        for packet in copies:
            heapq.heappush(self._queue, (due, next(self._number), packet))
        self._last_due[source] = due

    def _notice(self, faults: Faults) -> None:
        """Forget what belongs to faults that are over."""
        if not faults.frozen or faults.only != self._seen.only:
            self._kept.clear()
        if faults.clock_drift != self._seen.clock_drift:
            self._drift_start = None
        if (faults.content, faults.only) != (self._seen.content, self._seen.only):
            self._spoilt = None if faults.content == OWN else SpoiltContent(faults.content)
        self._seen = faults

    def _altered(self, packet: Packet, source: str, faults: Faults) -> Packet:
        """The packet spoilt, frozen and with its times moved, if it has to be and can be read."""
        if self._spoilt is not None and faults.content != OWN:
            try:
                packet = self._spoilt.spoil(packet)
            except WireError:
                return packet
            self._count("spoilt")
        clock_is_off = bool(faults.clock_step or faults.clock_drift or faults.clock_jitter)
        if not (faults.frozen or clock_is_off):
            return packet
        try:
            times = self._format.times(packet)
        except WireError:
            return packet
        if faults.frozen:
            self._count("frozen")
            packet, kept_times = self._kept.setdefault(source, (packet, times))
            if faults.frozen_stamps:
                times = kept_times
        if clock_is_off:
            self._count("shifted")
            if self._drift_start is None:
                self._drift_start = float(times[0, 0])
            drift = faults.clock_drift * 1e-6 * (times - self._drift_start)
            jump = self._clock.uniform(-faults.clock_jitter, faults.clock_jitter)
            times = times + faults.clock_step + drift + jump
        elif faults.frozen_stamps:
            return packet  # byte for byte
        return self._format.with_times(packet, times)

    def _count(self, what: str) -> None:
        self.counts = replace(self.counts, **{what: getattr(self.counts, what) + 1})


def corrupted(packet: Packet, dice: Random) -> Packet:
    """A packet with one part flipped in a few bits, cut, extended or replaced: never the same."""
    parts = list(packet)
    at = dice.randrange(len(parts))
    way: Callable[[bytes, Random], bytes] = dice.choice((_flipped, _cut, _extended, _junk))
    damaged = way(parts[at], dice)
    parts[at] = damaged if damaged != parts[at] else _extended(parts[at], dice)
    return parts


def _flipped(part: bytes, dice: Random) -> bytes:
    bits = 8 * len(part)
    flipped = bytearray(part)
    for bit in dice.sample(range(bits), min(dice.randint(1, _MOST_FLIPPED_BITS), bits)):
        flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def _cut(part: bytes, dice: Random) -> bytes:
    return part[: int(dice.random() * len(part))]


def _extended(part: bytes, dice: Random) -> bytes:
    return part + dice.randbytes(dice.randint(1, _MOST_ADDED_BYTES))


def _junk(part: bytes, dice: Random) -> bytes:
    return dice.randbytes(int(dice.random() * len(part)))
