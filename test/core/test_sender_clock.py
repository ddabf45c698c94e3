from __future__ import annotations

import pytest

from vla_inference_ros.core.sender_clock import SenderClock

NOW = 1.7e9
PERIOD = 0.1


class Sender:
    """Sends a packet each 0.1 s by a clock that is 2 s behind; ``time`` is the true time."""

    def __init__(self, packets: int = 10) -> None:
        self.clock = SenderClock(packets, (packets - 1.5) * PERIOD)
        self.time = 0.0
        self.ahead = -2.0
        self.notices: list[str] = []

    def send(self, packets: int = 1, *, delay: float = 0.0, error: float = 0.0) -> float:
        """Returns the last one's age at receipt, less its true age: 0 if the offset is right."""
        for _ in range(packets):
            self.time += PERIOD
            sent = NOW + self.time + self.ahead + error
            received = NOW + self.time + delay
            observation = self.clock.observe(sent, received, self.time + delay)
            if observation.notice:
                self.notices.append(observation.notice)
        return received - (sent + observation.offset) - delay

    def be_silent(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def sender() -> Sender:
    sender = Sender()
    sender.send(10)
    return sender


def test_it_is_calibrated_with_the_last_of_the_packets() -> None:
    sender = Sender()
    assert (sender.clock.offset(0.0), sender.clock.calibrated) == (0.0, False)
    sender.send(9)
    assert not sender.clock.calibrated
    assert sender.clock.uncertainty(sender.time) == -1.0
    sender.send()
    assert sender.clock.calibrated
    assert sender.clock.uncertainty(sender.time) >= 0.0
    assert sender.clock.offset(sender.time) == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize("step", [2.0, 0.02, 3600.0])
def test_a_step_ahead_is_right_from_its_first_packet(sender: Sender, step: float) -> None:
    sender.ahead += step
    for _ in range(3):
        assert sender.send() == pytest.approx(0.0, abs=1e-6)
    check_learnt_again(sender, step, packets=7)


@pytest.mark.parametrize("step", [-2.0, -0.65, -1e8])
def test_a_step_back_looks_old_until_five_packets_agree(sender: Sender, step: float) -> None:
    """Overtaken packets look the same: their age is real."""
    sender.ahead += step
    for _ in range(4):
        assert sender.send() == pytest.approx(-step, abs=1e-3)
        assert sender.clock.steps == 0
    assert sender.send() == pytest.approx(0.0, abs=1e-6)
    check_learnt_again(sender, step, packets=5)


def check_learnt_again(sender: Sender, step: float, packets: int) -> None:
    assert sender.clock.steps == 1
    assert f"{step:+.3f} s" in sender.notices[-1]
    assert not sender.clock.calibrated
    sender.send(packets)
    assert sender.clock.calibrated
    assert len(sender.notices) == 1


def test_overtaken_packets_keep_their_age_and_are_no_step(sender: Sender) -> None:
    """As when a delay of 0.5 s ends: old and new packets come in turn."""
    for _ in range(20):
        assert sender.send(error=-0.5) == pytest.approx(0.5, abs=1e-3)
        assert sender.send() == pytest.approx(0.0, abs=1e-6)
    assert (sender.clock.steps, sender.clock.calibrated) == (0, True)


@pytest.mark.parametrize("error", [2.0, -2.0, 0.006, -7e8, 4e8])
def test_one_damaged_time_teaches_nothing_and_is_told(sender: Sender, error: float) -> None:
    assert sender.send(error=error) == pytest.approx(max(0.0, -error), abs=1e-3)
    assert sender.clock.suspecting
    assert sender.send() == pytest.approx(0.0, abs=1e-6)
    assert (sender.clock.steps, sender.clock.calibrated) == (0, True)
    assert len(sender.notices) == 1
    assert f"{error:+.3f} s" in sender.notices[0]


def test_damaged_times_that_do_not_agree_are_no_step(sender: Sender) -> None:
    for error in (5.0, -1000.0, 900.0, -40.0, 77.0):
        sender.send(error=error)
    assert sender.send() == pytest.approx(0.0, abs=1e-6)
    assert (sender.clock.steps, sender.clock.calibrated) == (0, True)


@pytest.mark.parametrize("error", [2.0, -2.0, 4e8, -7e8])
@pytest.mark.parametrize("good", [0, 1, 2, 5])
def test_a_damaged_time_while_learning_does_not_stick(good: int, error: float) -> None:
    sender = Sender()
    if good:
        sender.send(good)
    sender.send(error=error)
    assert sender.send(13) == pytest.approx(0.0, abs=1e-6)
    assert (sender.clock.steps, sender.clock.calibrated) == (0, True)


def test_two_copies_of_a_damaged_packet_are_no_step(sender: Sender) -> None:
    sender.send(2, error=2.0)
    assert sender.send() == pytest.approx(0.0, abs=1e-6)
    assert (sender.clock.steps, sender.clock.calibrated) == (0, True)


def test_first_packets_that_were_slow_are_not_damaged() -> None:
    sender = Sender()
    for delay in (0.1, 0.07, 0.03, 0.02, 0.0):
        sender.send(delay=delay)
        assert not sender.clock.suspecting
    assert sender.send() == pytest.approx(0.0, abs=1e-6)


def test_jitter_widens_what_is_not_suspect(sender: Sender) -> None:
    for _ in range(6):
        sender.send(10, delay=0.04)
    sender.send(error=0.02)
    assert not sender.clock.suspecting
    sender.send(error=0.2)
    assert sender.clock.suspecting


def test_lateness_is_never_a_step_however_long(sender: Sender) -> None:
    for delay in (0.2, 1.5, 0.7, 0.2):
        assert sender.send(20, delay=delay) == pytest.approx(0.0, abs=1e-3)
    assert (sender.clock.steps, sender.notices) == (0, [])


def test_a_small_step_back_looks_like_age(sender: Sender) -> None:
    sender.ahead -= 0.08
    assert sender.send(50) == pytest.approx(0.08, abs=1e-3)
    assert sender.clock.steps == 0


def test_a_step_back_is_seen_even_if_its_times_soon_pass_the_old_ones(sender: Sender) -> None:
    sender.ahead -= 0.25  # less than three periods
    sender.send(5)
    assert sender.clock.steps == 1
    assert sender.send() == pytest.approx(0.0, abs=1e-6)


def test_overtaking_and_duplicates_are_not_suspect(sender: Sender) -> None:
    for error in (-0.09, 0.0, -0.1 + 1e-3, 0.0):
        sender.send(error=error)
        assert not sender.clock.suspecting
    assert sender.notices == []


def test_after_a_silence_the_same_clock_goes_on(sender: Sender) -> None:
    sender.be_silent(60.0)
    assert sender.send() == pytest.approx(0.0, abs=1e-6)
    assert (sender.clock.calibrated, sender.clock.steps, sender.notices) == (True, 0, [])


@pytest.mark.parametrize("drifted", [0.03, -0.03])
def test_after_a_silence_the_clock_may_have_drifted(sender: Sender, drifted: float) -> None:
    sender.be_silent(60.0)
    sender.ahead += drifted
    sender.send(20)
    assert (sender.clock.steps, sender.notices) == (0, [])


def test_after_a_silence_a_clock_that_is_ahead_is_a_step(sender: Sender) -> None:
    sender.be_silent(10.0)
    sender.ahead += 1.0
    assert sender.send(3) == pytest.approx(0.0, abs=1e-6)
    assert sender.clock.steps == 1


def test_after_a_silence_lateness_stays_lateness_and_is_told(sender: Sender) -> None:
    sender.be_silent(10.0)
    sender.ahead -= 1.0
    assert sender.send(10) == pytest.approx(1.0, abs=2e-3)
    assert sender.notices == []  # a backlog may still be draining
    assert sender.send(100) == pytest.approx(1.0, abs=2e-3)
    assert sender.clock.steps == 0
    (notice,) = sender.notices
    assert notice.startswith("times are 1.000 s later than before a silence")


def test_a_backlog_that_drains_after_an_outage_is_no_new_clock(sender: Sender) -> None:
    outage = 30.0
    sender.be_silent(PERIOD)
    resumed = sender.time + outage
    for packet in range(300):  # sent during the outage, received within 3 s after it
        sender.time += PERIOD
        delay = resumed + packet * 0.01 - sender.time
        sent = NOW + sender.time + sender.ahead
        observation = sender.clock.observe(sent, NOW + sender.time + delay, sender.time + delay)
        assert observation.offset == pytest.approx(2.0, abs=1e-3)
    sender.time += 3.0
    assert sender.send() == pytest.approx(0.0, abs=1e-3)
    assert (sender.clock.steps, sender.notices) == (0, [])


def test_a_shift_moves_the_suspects_with_the_line(sender: Sender) -> None:
    sender.ahead += 2.0
    sender.send(2)
    sender.clock.shift(5.0)
    sender.ahead -= 5.0  # as this host's wall clock, which was set ahead, sees it
    sender.send()
    assert sender.clock.steps == 1
    assert sender.clock.offset(sender.time) == pytest.approx(5.0, abs=1e-6)


@pytest.mark.parametrize("packets", [1, 2])
def test_few_packets_a_little_too_early_are_not_believed(sender: Sender, packets: int) -> None:
    """A damaged time that is no suspect would lower the line for a minute."""
    for _ in range(2):
        # Each looks no younger than its receipt, and those after it as before.
        assert sender.send(packets, error=0.003) == pytest.approx(0.0, abs=1e-6)
        assert sender.send() == pytest.approx(0.0, abs=1e-6)
        sender.send(30)  # the next are too long after these


@pytest.mark.parametrize("apart", [1, 7])
def test_three_that_agree_are_believed(sender: Sender, apart: int) -> None:
    """The network's least delay has become shorter, by which all others now look later."""
    for error in (0.003, 0.0028, 0.0032):
        assert sender.send() == pytest.approx(0.0, abs=1e-6)
        sender.send(apart)
        sender.send(error=error)
    assert sender.send() == pytest.approx(0.0032, abs=1e-6)


def test_three_that_do_not_agree_are_not_believed(sender: Sender) -> None:
    for error in (0.0015, 0.003, 0.0045):
        sender.send(error=error)
    assert sender.send() == pytest.approx(0.0, abs=1e-6)


def test_doubts_do_not_add_up(sender: Sender) -> None:
    """Each is a little earlier than the one before, and more and more so than what is usual. The
    first two are taken for drift, which a minute does not tell from such errors.
    """
    sender.send(1200)
    for error in (0.0009, 0.0018, 0.0027, 0.0036):
        sender.send(15)
        sender.send(error=error)
    assert 0.0 <= sender.send() < 0.002
