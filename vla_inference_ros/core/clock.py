"""The clock service: what to add to a sending host's times to have them in this host's clock."""

from __future__ import annotations

from dataclasses import dataclass

from vla_inference_ros.core.sender_clock import Observation, SenderClock, joined

__all__ = [
    "CALIBRATION_PACKETS",
    "CALIBRATION_TIME",
    "CLOCK_MODES",
    "ClockReading",
    "HostClock",
    "Observation",
]

CLOCK_MODES = ("calibrate", "trust", "receive")
# What it takes to know a clock: so many packets, and so long [s].
CALIBRATION_PACKETS, CALIBRATION_TIME = 10, 1.0

# How far this host's clocks may part between two packets [s], and per second between them, before
# it is a step: no daemon slews faster than that without being told to.
_OWN_STEP = 0.005
_MAX_SLEW = 500e-6
# How far ahead of receipt a trusted clock may send [s].
_MAX_AHEAD = 0.005
# A stream without send times is from a synchronised clock if its least age is from 0 to this [s].
_MAX_TRUSTED_AGE = 0.5
# Any time beyond this [s] is as absurd as this, and sums of these cannot overflow.
_FAR = 1e12


@dataclass(frozen=True, slots=True)
class ClockReading:
    """For diagnostics. ``mode`` is the one in force: a stream without send times whose clock proves
    to be synchronised is trusted.

    ``offset`` [s] is added to the sender's times now; ``drift`` [s/s] is how much faster than ours
    the sender's clock runs; ``uncertainty`` [s] is negative while it is being learnt or packets
    contradict it, and 0 where nothing is learnt. ``steps`` counts those of either clock since the
    start. With ``lower_bound`` ages are at least what they seem: the stream has no send times.
    """

    mode: str
    offset: float
    drift: float
    uncertainty: float
    calibrated: bool
    steps: int
    lower_bound: bool


class HostClock:
    """The clock of one sending host, for one thread.

    - ``calibrate``: learns from send times. Without them, those of the newest items stand in: if
      the least age is from 0 to 0.5 s, the clock is trusted, else ages are lower bounds. That is
      decided once, and again only after a step: a camera that falls behind later looks old.
    - ``trust``: the clocks are synchronised by other means; nothing is added.
    - ``receive``: stamps become receipt times; ages are unknown.

    Packets must come in the order they were sent, within 0.1 s: streams of a host that may overtake
    each other by more need a clock each.
    """

    def __init__(self, mode: str = "calibrate", packets: int = CALIBRATION_PACKETS) -> None:
        """It is learnt from at least so many packets, and for `CALIBRATION_TIME`. Raises ValueError
        for a mode that does not exist, and fewer than one packet.
        """
        if mode not in CLOCK_MODES:
            raise ValueError(f"clock mode is {mode!r}, not one of {', '.join(CLOCK_MODES)}")
        if packets < 1:
            raise ValueError(f"{packets} packets to learn a clock from: at least 1 is needed")
        self._mode = mode
        self._packets = packets
        self._sender = SenderClock(packets, CALIBRATION_TIME)
        self._has_send_times: bool | None = None  # not known before the first packet
        self._steady_time = 0.0
        self._own_lead: float | None = None  # wall clock minus monotonic clock at the last packet
        self._steps = 0  # of this host's clock, and of sender clocks that were dropped
        self._receive_offset = 0.0
        self._is_ahead = False
        self._trusted = False
        self._decided_at_step: int | None = None
        self._told_lower_bound = False

    @property
    def suspecting(self) -> bool:
        """Whether the last packet's times fit nothing known: they tell nothing of its delay."""
        return self._sender.suspecting

    @property
    def contradicted(self) -> bool:
        """Whether so many packets contradict the clock, although it was learnt, that nothing of the
        sender can be told by it.
        """
        return self._sender.contradicted

    @property
    def unusable(self) -> bool:
        """Whether the last packet may be of any age, although the clock was learnt."""
        return self._sender.unusable

    @property
    def backlog(self) -> bool:
        """Whether packets come faster than their own times allow; where these are learnt from."""
        return self._sender.backlog

    def observe(
        self,
        *,
        newest_time: float,
        send_time: float | None,
        receive_time: float,
        steady_time: float,
    ) -> Observation:
        """Learn from one packet.

        ``newest_time`` is the acquisition time of its newest item; it and ``send_time`` are by the
        sender's clock. ``receive_time`` and ``steady_time`` are one instant by this host's wall
        clock and by its monotonic clock. All finite, in seconds.
        """
        newest, received, steady = (
            _bounded(time) for time in (newest_time, receive_time, steady_time)
        )
        sent = None if send_time is None else _bounded(send_time)
        own_step = self._follow_own_clock(received, steady)
        if self._mode == "trust":
            observation = self._trust(newest if sent is None else sent, received)
        elif self._mode == "receive":
            self._receive_offset = received - newest
            observation = Observation(self._receive_offset, "")
        else:
            observation = self._calibrate(newest, sent, received, steady)
        return Observation(observation.offset, joined(own_step, observation.notice))

    def read(self) -> ClockReading:
        """The present state, at the time of the last packet."""
        mode = "trust" if self._trusted else self._mode
        calibrated = self._mode != "calibrate" or self._sender.calibrated
        if mode == "calibrate":
            offset = self._sender.offset(self._steady_time)
            drift = self._sender.drift
            uncertainty = self._sender.uncertainty(self._steady_time)
        else:
            offset = self._receive_offset
            drift = 0.0
            uncertainty = 0.0 if calibrated else -1.0
        lower_bound = mode == "calibrate" and self._has_send_times is False
        return ClockReading(
            mode, offset, drift, uncertainty, calibrated, self._all_steps(), lower_bound
        )

    def _follow_own_clock(self, received: float, steady: float) -> str:
        """Slewing is drift, and left to the sender's clock; a step shifts everything exactly."""
        lead = received - steady
        previous, self._own_lead = self._own_lead, lead
        gap, self._steady_time = abs(steady - self._steady_time), steady
        if previous is None or abs(lead - previous) <= _OWN_STEP + _MAX_SLEW * gap:
            return ""
        self._sender.shift(lead - previous)
        self._steps += 1
        return f"this host's clock stepped by {lead - previous:+.3f} s"

    def _trust(self, sent: float, received: float) -> Observation:
        was_ahead, self._is_ahead = self._is_ahead, sent - received > _MAX_AHEAD
        if not self._is_ahead or was_ahead:
            return Observation(0.0, "")
        return Observation(
            0.0,
            f"the sender's clock is ahead of receipt by {sent - received:.3f} s: not synchronised?",
        )

    def _calibrate(
        self, newest: float, sent: float | None, received: float, steady: float
    ) -> Observation:
        if sent is None and self._has_send_times:  # this packet lacks it: nothing to learn
            return Observation(self._sender.offset(steady), "")
        if sent is None:
            if self._has_send_times is None:
                self._start_over(has_send_times=False)
            return self._calibrate_by_age(newest, received, steady)
        if not self._has_send_times:
            self._start_over(has_send_times=True)
        was_calibrated = self._sender.calibrated
        observation = self._sender.observe(sent, received, steady)
        if was_calibrated or not self._sender.calibrated:
            return observation
        packets = self._sender.packets
        learnt = f"clock offset {observation.offset:+.6f} s, learnt from {packets} packets"
        return Observation(observation.offset, joined(observation.notice, learnt))

    def _start_over(self, *, has_send_times: bool) -> None:
        self._steps += self._sender.steps
        self._sender = SenderClock(self._packets, CALIBRATION_TIME)
        self._has_send_times = has_send_times
        self._trusted = False

    def _calibrate_by_age(self, newest: float, received: float, steady: float) -> Observation:
        observation = self._sender.observe(newest, received, steady)
        if self._sender.suspecting:
            return observation
        notice = joined(observation.notice, self._decide_trust(steady))
        if not self._trusted:
            return Observation(observation.offset, notice)
        return Observation(0.0, joined(notice, self._trust(newest, received).notice))

    def _decide_trust(self, steady: float) -> str:
        steps, calibrated = self._all_steps(), self._sender.calibrated
        if calibrated and steps == self._decided_at_step:
            return ""
        least_age = self._sender.offset(steady)
        self._trusted = 0.0 <= least_age <= _MAX_TRUSTED_AGE
        self._decided_at_step = steps if calibrated else None
        if not calibrated:
            return ""
        seen = f"no send times, and a least age of {least_age:.3f} s"
        if self._trusted:
            return f"{seen}: the clock is taken to be synchronised"
        if self._told_lower_bound:
            return ""
        self._told_lower_bound = True
        return f"{seen}: the clock is not ours, and ages are lower bounds"

    def _all_steps(self) -> int:
        return self._steps + self._sender.steps


def _bounded(time: float) -> float:
    return max(-_FAR, min(_FAR, time))
