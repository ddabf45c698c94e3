"""Learns one sender's clock from send and receipt times: its offset, its drift and its steps.

Delay is never negative, so a difference (receipt - send time) below the envelope, or a send time
before one that came already, is no network's doing: that packet is a suspect, and teaches nothing.
Some in a row that agree are a step of the sender's clock, and learning starts over from them; a few
alone were damaged, or overtaken on the way. Until that is known a suspect never looks younger than
the envelope says, nor younger than its own receipt. One from far below the envelope may have any
age, and is `unusable`; `contradictions` tells when that goes for all that the sender sends.

Packets that come faster than their own times allow, one after the other, are a backlog that drains
(`settling`). Below the envelope they prove that it was learnt from older ones of the same backlog:
learning starts over with each of them. Above the envelope they are what they look like, old.

A difference above the envelope is delay, however long: the data is old and must look old. So a
clock that is slewed back, or set back by less than 0.1 s or than the time between two packets, or
while its host was silent, looks like delay, and its data older than it is; `envelope` says how
slowly that is followed. A lasting one after a silence is told, since only a person can know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vla_inference_ros.core.contradictions import Contradictions
from vla_inference_ros.core.envelope import Envelope
from vla_inference_ros.core.settling import Rush, Settling, Sinking

# How far below the line a difference may be without suspicion [s].
_TOLERANCE = 0.005
_LEARNING_TOLERANCE = 0.05
# A difference that lies further than this below what is usual is believed once as many agree within
# it as tell of a step ahead, in so many seconds: damaged times would lower the line for a minute.
_DOUBT, _CONFIRMED_WITHIN = 0.001, 2.0
# How far a send time may lie before the newest one: far more than datagrams overtake each other.
_MAX_REORDERING = 0.1
# Suspects agree with each other within this, and it takes so many for a step: ahead, which no
# network can feign, and back, as packets also seem that others have overtaken.
_AGREEMENT = 0.05
_SUSPECTS_AHEAD, _SUSPECTS_BACK = 3, 5
# So many packets in a row that come faster than their own times allow prove a line above them
# wrong; so many, which make up so much lateness [s], are worth to be told as a backlog.
_RUSHED_BELOW = 3
_BACKLOG, _BACKLOG_TIME = 5, 0.2
# A pause longer than this is a silence [s], after which the line may be off by more: at first,
# and per second of it.
_SILENCE = 2.0
_SILENCE_TOLERANCE = 0.015
_SILENCE_DRIFT = 500e-6
# How long lateness after a silence must last to be told [s]: a backlog has drained by then.
_LATE_FOR = 2.0
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
    """Receiver clock minus sender clock, over time; provisional for the first ``packets`` and
    ``seconds``, see `Settling`.

    ``steps`` counts the sender's.
    """

    def __init__(self, packets: int, seconds: float) -> None:
        self.steps = 0
        self._least_packets, self._least_seconds = packets, seconds
        self._settling = Settling(packets, seconds)
        self._rush = Rush()
        self._sinking = Sinking()
        self._contradictions = Contradictions()
        self._ever_known = False
        self._envelope: Envelope | None = None
        self._newest_sent = 0.0
        self._taught = 0.0  # steady time of the last packet that the line was learnt from
        self._suspects: deque[_Packet] = deque(maxlen=_SUSPECTS_BACK)
        self._doubted: deque[_Packet] = deque()  # too early for the usual, of the last seconds
        self._late_since: float | None = None
        self._told_late = False

    @property
    def calibrated(self) -> bool:
        """Whether the offset is known, and no longer the guess of the first packets since the
        start, or since the last step.
        """
        return self._settling.done and not self._sinking.lasts

    @property
    def packets(self) -> int:
        """How many packets have taught the offset, since the start or the last step."""
        return self._settling.seen

    @property
    def backlog(self) -> bool:
        """Whether packets come faster than their own times allow: they have waited somewhere."""
        return self._rush.packets >= _BACKLOG and self._rush.made_up >= _BACKLOG_TIME

    @property
    def _rushed(self) -> bool:
        return self._rush.packets >= _RUSHED_BELOW

    @property
    def suspecting(self) -> bool:
        """Whether the last packet's times fit nothing known."""
        return bool(self._suspects)

    @property
    def contradicted(self) -> bool:
        """Whether so many packets contradict the clock, although it was learnt, that nothing of the
        sender can be told by it.
        """
        return self.calibrated and self._contradictions.erratic

    @property
    def unusable(self) -> bool:
        """Whether the last packet may be of any age, although the clock was learnt."""
        return self.contradicted or (self.calibrated and self._contradictions.from_future)

    @property
    def drift(self) -> float:
        """How much faster than ours the sender's clock runs [s/s]."""
        return -self._envelope.slope if self._envelope else 0.0

    def offset(self, steady_time: float) -> float:
        """What to add to the sender's times [s]; 0 before the first packet."""
        return self._envelope.at(steady_time) if self._envelope else 0.0

    def uncertainty(self, steady_time: float) -> float:
        """Of the offset [s], see `Envelope.uncertainty`; -1 until calibrated, and if unusable."""
        if self._envelope is None or not self.calibrated or self.unusable:
            return -1.0
        return self._envelope.uncertainty(steady_time)

    def shift(self, seconds: float) -> None:
        """This host's clock was set ahead by so much: so are all offsets."""
        if self._envelope is not None:
            self._envelope.shift(seconds)
        self._settling.shift(seconds)
        self._sinking.shift(seconds)
        shifted = [replace(each, difference=each.difference + seconds) for each in self._suspects]
        self._suspects = deque(shifted, _SUSPECTS_BACK)
        self._doubted.clear()

    def observe(self, sent: float, received: float, steady_time: float) -> Observation:
        """Learn from one packet, or suspect it."""
        packet = _Packet(sent, steady_time, received - sent)
        self._rush.add(sent, steady_time)
        if self._envelope is None:
            self._start_over([packet])
            return Observation(packet.difference, "")
        if self._is_suspect(self._envelope, packet):
            if packet.difference < self._envelope.at(steady_time) and self._rushed:
                return self._start_over_in_backlog(packet)
            return self._suspect(self._envelope, packet)
        self._contradictions.add(fits=True, from_future=False)
        notice = self._forget_suspects(self._envelope)
        self._newest_sent = max(self._newest_sent, sent)
        if self._settling.done:  # until then the settling itself tells
            line = self._envelope.at(steady_time)
            notice = joined(notice, self._sinking.add(steady_time, packet.difference, line))
        if self._is_doubtful(self._envelope, packet):
            return Observation(packet.difference, notice)
        if self._is_late_after_silence(self._envelope, packet):
            if not self.calibrated:  # there is nothing yet that it could be late by
                self._start_over([packet])
                return Observation(packet.difference, notice)
            late = self._tell_of_lateness(self._envelope, packet)
            notice = joined(notice, late)
        else:
            self._late_since, self._told_late = None, False
            self._teach(self._envelope, packet)
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

    def _is_doubtful(self, envelope: Envelope, packet: _Packet) -> bool:
        """Whether it would lower the line by much, and too few lately have said the same."""
        doubt = _DOUBT + _jitter(envelope)
        usual, line = envelope.usual(packet.steady), envelope.at(packet.steady)
        if not self.calibrated or packet.difference >= min(line, usual - doubt):
            return False
        while self._doubted and packet.steady - self._doubted[0].steady > _CONFIRMED_WITHIN:
            self._doubted.popleft()
        self._doubted.append(packet)
        agreeing = sum(abs(packet.difference - each.difference) <= doubt for each in self._doubted)
        return agreeing < _SUSPECTS_AHEAD

    def _suspect(self, envelope: Envelope, packet: _Packet) -> Observation:
        self._suspects.append(packet)
        line, agreement = envelope.at(packet.steady), _AGREEMENT + _jitter(envelope)
        # By less, the way may well have become shorter than it was when the clock was learnt.
        from_future = line - packet.difference > agreement
        self._contradictions.add(fits=False, from_future=from_future)
        known = envelope.packets >= _SUSPECTS_BACK
        needed = _SUSPECTS_BACK if packet.difference > line and known else _SUSPECTS_AHEAD
        differences = [each.difference for each in self._suspects][-needed:]
        agreed = max(differences) - min(differences) <= agreement
        if len(differences) < needed or not agreed:
            return Observation(min(packet.difference, line) if known else packet.difference, "")
        step = line - min(differences)
        if envelope.packets < _SUSPECTS_AHEAD or not self._ever_known:
            notice = f"the first packets' times were off by {-step:+.3f} s: forgotten"
        else:
            self.steps += 1
            notice = (
                f"the sender's clock stepped by {step:+.3f} s (or the network's least delay "
                "became shorter by that): its offset is learnt again"
                if step > 0
                else f"the sender's clock stepped by {step:+.3f} s: its offset is learnt again"
            )
        self._start_over(list(self._suspects)[-needed:])
        return Observation(self.offset(packet.steady), notice)

    def _start_over_in_backlog(self, packet: _Packet) -> Observation:
        error, was_known = self.offset(packet.steady) - packet.difference, self.calibrated
        self._start_over([packet])
        if not was_known:
            return Observation(packet.difference, "")
        return Observation(
            packet.difference,
            f"packets come faster than their own times allow, and are {error:.3f} s newer than "
            "they seemed: the offset was learnt from a backlog, and is learnt again",
        )

    def _teach(self, envelope: Envelope, packet: _Packet) -> None:
        self._taught = packet.steady
        envelope.add(packet.steady, packet.difference)
        self._settling.add(packet.sent, packet.steady, packet.difference)
        self._ever_known |= self._settling.done

    def _start_over(self, packets: Sequence[_Packet]) -> None:
        first, *rest = packets
        self._envelope = Envelope(first.steady, first.difference)
        self._settling = Settling(self._least_packets, self._least_seconds)
        self._contradictions = Contradictions()
        self._sinking = Sinking()
        self._settling.add(first.sent, first.steady, first.difference)
        for packet in rest:
            self._teach(self._envelope, packet)
        self._newest_sent = max(packet.sent for packet in packets)
        self._taught = packets[-1].steady
        self._suspects.clear()
        self._doubted.clear()
        self._late_since, self._told_late = None, False

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

    def _tell_of_lateness(self, envelope: Envelope, packet: _Packet) -> str:
        if self._late_since is None:
            self._late_since = packet.steady
        if self._told_late or packet.steady - self._late_since < _LATE_FOR:
            return ""
        self._told_late = True
        above = packet.difference - envelope.at(packet.steady)
        return (
            f"times are {above:.3f} s later than before a silence, and look so old: the network "
            "has become slower, or the clock was set back meanwhile; if so, restart this node"
        )

    def _tolerance(self, envelope: Envelope, steady_time: float) -> float:
        tolerance = _TOLERANCE if self.calibrated else _LEARNING_TOLERANCE
        gap = steady_time - self._taught
        if gap > _SILENCE:
            tolerance += _SILENCE_TOLERANCE + _SILENCE_DRIFT * gap
        return tolerance + _jitter(envelope)


def joined(*notices: str) -> str:
    """Notices in one; "" if there is nothing to say."""
    return "; ".join(filter(None, notices))


def _jitter(envelope: Envelope) -> float:
    return min(envelope.spread, _MAX_JITTER)
