"""Learns one sender's clock from send and receipt times: its offset, its drift and its steps.

Delay is never negative, so a difference (receipt - send time) below the envelope, or a send time
before one that came already, is no network's doing: that packet is a suspect. It gets its own
difference as offset, as if it had had no delay, and teaches nothing. Three in a row that agree are
a step of the sender's clock, and learning starts over from them; one alone was damaged.

A difference above the envelope is delay, however long: the data is old and must look old. So a
clock that is slewed back, or set back by less than 0.1 s or than the time between two packets,
looks like delay, and its data older than it is; `envelope` says how slowly that is followed. Only
after a silence may it be another clock, that of a restarted host.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vla_inference_ros.core.envelope import Envelope

# How far below the line a difference may be without suspicion [s].
_TOLERANCE = 0.005
_LEARNING_TOLERANCE = 0.05
# How far a send time may lie before the newest one: far more than datagrams overtake each other.
_MAX_REORDERING = 0.1
# Suspects agree with each other within this, and it takes so many for a step.
_AGREEMENT = 0.05
_SUSPECTS = 3
# A pause longer than this is a silence [s], after which the line may be off by more: at first,
# and per second of it.
_SILENCE = 2.0
_SILENCE_TOLERANCE = 0.015
_SILENCE_DRIFT = 500e-6
# A new clock has held still, within the first, for at least the second [s].
_NEW_CLOCK_RANGE = 0.02
_NEW_CLOCK_SPAN = 0.5
# Jitter widens the tolerances by no more than this [s].
_MAX_JITTER = 0.05


@dataclass(frozen=True, slots=True)
class Observation:
    """What the clock makes of a packet: ``offset`` [s] is to be added to every time of it;
    ``notice`` says in plain words what happened that a person should know, "" if nothing did.
    """

    offset: float
    notice: str


@dataclass(frozen=True, slots=True)
class _Packet:
    """``sent`` by the sender's clock, ``steady`` when it was received, ``difference`` between
    its receipt and ``sent`` by the two hosts' clocks; all [s].
    """

    sent: float
    steady: float
    difference: float


class SenderClock:
    """Receiver clock minus sender clock, over time; provisional for the first ``packets``.

    With ``restarts``, times that are late after a silence and stay so are a new clock's. Without,
    they are late: for streams where lateness of the sender itself cannot be told from its clock.
    ``steps`` counts the sender's.
    """

    def __init__(self, packets: int, *, restarts: bool) -> None:
        self.restarts = restarts
        self.steps = 0
        self._packets = packets
        self._envelope: Envelope | None = None
        self._newest_sent = 0.0
        self._taught = 0.0  # steady time of the last packet that the line was learnt from
        self._suspects: deque[_Packet] = deque(maxlen=_SUSPECTS)
        self._candidate: Envelope | None = None
        self._candidate_since = 0.0

    @property
    def calibrated(self) -> bool:
        """Whether enough packets have come since the start, or since the last step."""
        return self._envelope is not None and self._envelope.packets >= self._packets

    @property
    def suspecting(self) -> bool:
        """Whether the last packet's times fit nothing known."""
        return bool(self._suspects)

    @property
    def drift(self) -> float:
        """How much faster than ours the sender's clock runs [s/s]."""
        return -self._envelope.slope if self._envelope else 0.0

    def offset(self, steady_time: float) -> float:
        """What to add to the sender's times [s]; 0 before the first packet."""
        return self._envelope.at(steady_time) if self._envelope else 0.0

    def uncertainty(self, steady_time: float) -> float:
        """Of the offset [s], see `Envelope.uncertainty`; -1 until calibrated."""
        if self._envelope is None or not self.calibrated:
            return -1.0
        return self._envelope.uncertainty(steady_time)

    def shift(self, seconds: float) -> None:
        """This host's clock was set ahead by so much: so are all offsets."""
        for envelope in (self._envelope, self._candidate):
            if envelope is not None:
                envelope.shift(seconds)
        shifted = [replace(each, difference=each.difference + seconds) for each in self._suspects]
        self._suspects = deque(shifted, _SUSPECTS)

    def observe(self, sent: float, received: float, steady_time: float) -> Observation:
        """Learn from one packet, or suspect it."""
        packet = _Packet(sent, steady_time, received - sent)
        if self._envelope is None:
            self._start_over([packet])
            return Observation(packet.difference, "")
        if self._is_suspect(self._envelope, packet):
            return self._suspect(self._envelope, packet)
        notice = self._forget_suspects(self._envelope)
        self._newest_sent = max(self._newest_sent, sent)
        if self._is_late_after_silence(self._envelope, packet):
            notice = "; ".join(filter(None, (notice, self._try_as_new_clock(packet))))
        else:
            self._candidate = None
            self._taught = steady_time
            self._envelope.add(steady_time, packet.difference)
        return Observation(self.offset(steady_time), notice)

    def _is_suspect(self, envelope: Envelope, packet: _Packet) -> bool:
        above = packet.difference - envelope.at(packet.steady)
        if above < -self._tolerance(envelope, packet.steady):
            return True
        if self._newest_sent - packet.sent > _MAX_REORDERING:
            return True
        # After a step back, a slow sender's times soon pass the newest one from before it.
        agreement = _AGREEMENT + _jitter(envelope)
        return above > agreement and any(
            abs(packet.difference - each.difference) <= agreement for each in self._suspects
        )

    def _suspect(self, envelope: Envelope, packet: _Packet) -> Observation:
        self._suspects.append(packet)
        differences = [each.difference for each in self._suspects]
        agreed = max(differences) - min(differences) <= _AGREEMENT + _jitter(envelope)
        if len(differences) < _SUSPECTS or not agreed:
            return Observation(packet.difference, "")
        step = envelope.at(packet.steady) - min(differences)
        if envelope.packets < _SUSPECTS:
            notice = f"the first packet's times were off by {-step:+.3f} s: forgotten"
        else:
            self.steps += 1
            notice = (
                f"the sender's clock stepped by {step:+.3f} s (or the network's least delay "
                "became shorter by that): its offset is learnt again"
                if step > 0
                else f"the sender's clock stepped by {step:+.3f} s: its offset is learnt again"
            )
        self._start_over(self._suspects)
        return Observation(self.offset(packet.steady), notice)

    def _start_over(self, packets: Sequence[_Packet] | deque[_Packet]) -> None:
        first, *rest = packets
        self._envelope = Envelope(first.steady, first.difference)
        for packet in rest:
            self._envelope.add(packet.steady, packet.difference)
        self._newest_sent = max(packet.sent for packet in packets)
        self._taught = packets[-1].steady
        self._suspects.clear()
        self._candidate = None

    def _forget_suspects(self, envelope: Envelope) -> str:
        if not self._suspects:
            return ""
        last = self._suspects[-1]
        error = envelope.at(last.steady) - last.difference
        self._suspects.clear()
        return f"times did not fit by {error:+.3f} s, but not for long: taken for damaged"

    def _is_late_after_silence(self, envelope: Envelope, packet: _Packet) -> bool:
        above = packet.difference - envelope.at(packet.steady)
        return packet.steady - self._taught > _SILENCE and above > self._tolerance(
            envelope, packet.steady
        )

    def _try_as_new_clock(self, packet: _Packet) -> str:
        """A backlog that drains comes nearer the line with each packet; a new clock stays off."""
        candidate = self._candidate
        if candidate is None or packet.difference < candidate.at(packet.steady) - _NEW_CLOCK_RANGE:
            self._candidate = Envelope(packet.steady, packet.difference)
            self._candidate_since = packet.steady
            return ""
        candidate.add(packet.steady, packet.difference)
        held = packet.steady - self._candidate_since
        if not self.restarts or candidate.packets < self._packets or held < _NEW_CLOCK_SPAN:
            return ""
        step = self.offset(packet.steady) - candidate.at(packet.steady)
        self.steps += 1
        self._envelope, self._candidate = candidate, None
        self._taught = packet.steady
        return (
            f"the sender's clock differs by {step:+.3f} s since a silence: it is taken for a new "
            "clock; ages are right only if the network has not become slower"
        )

    def _tolerance(self, envelope: Envelope, steady_time: float) -> float:
        tolerance = _TOLERANCE if self.calibrated else _LEARNING_TOLERANCE
        gap = steady_time - self._taught
        if gap > _SILENCE:
            tolerance += _SILENCE_TOLERANCE + _SILENCE_DRIFT * gap
        return tolerance + _jitter(envelope)


def _jitter(envelope: Envelope) -> float:
    return min(envelope.spread, _MAX_JITTER)
