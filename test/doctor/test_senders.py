import math
import time

import pytest

from vla_inference_ros.doctor.heard import Ear, Heard, Trouble
from vla_inference_ros.doctor.result import Status
from vla_inference_ros.doctor.senders import AgeLimits, robot, sensor, view

LIMITS = AgeLimits(0.2, 1.0)
BAD = Trouble("bad time", 3, "sensor time 12.0 is not a Unix time in seconds: check the clock")


def camera(**fields: float) -> Heard:
    return Heard(4.0, **{"packets": 40, "rate": 10.0, "age": 0.05, **fields})  # type: ignore[arg-type]


def samples(rate: float, *troubles: Trouble, age: float = 0.01) -> Heard:
    return Heard(4.0, packets=100, rate=rate, size=61_804.0, age=age, troubles=troubles)


@pytest.mark.parametrize(
    ("heard", "status", "finding"),
    [
        (camera(), Status.OK, "10.0 pictures/s"),
        (camera(rate=4.6), Status.OK, "4.6"),
        (camera(rate=4.4), Status.WARNING, "under 5/s chunks are DEGRADED"),
        (camera(rate=0.5), Status.PROBLEM, "under 1/s there is no chunk"),
        (camera(age=0.5), Status.WARNING, "0.50 s old when it comes, over 0.2 s"),
        (camera(age=2.0), Status.PROBLEM, "2.00 s old"),
        (camera(width=320, height=180), Status.WARNING, "smaller than the 640x360"),
        (Heard(4.0), Status.PROBLEM, "no picture in 4.0 s"),
    ],
)
def test_cameras(heard: Heard, status: Status, finding: str) -> None:
    result = view("View1", heard, LIMITS)
    assert result.status is status
    assert finding in result.finding
    assert bool(result.remedy) is (status is not Status.OK)


@pytest.mark.parametrize(
    ("heard", "status", "finding"),
    [
        (samples(650.0), Status.OK, "650 samples/s in datagrams of 61.8 kB"),
        (samples(625.0), Status.OK, "625"),
        (samples(600.0), Status.WARNING, "600 samples/s in datagrams of 61.8 kB, not 650"),
        (samples(800.0), Status.WARNING, "not 650"),
        (samples(300.0), Status.PROBLEM, "too few for a chunk, which takes 330"),
        (samples(650.0, age=0.5), Status.WARNING, "0.50 s old"),
        (samples(650.0, BAD), Status.WARNING, "3 datagram(s) refused: sensor time 12.0"),
        (Heard(4.0, troubles=(BAD,)), Status.PROBLEM, "every datagram is refused"),
        (Heard(4.0), Status.PROBLEM, "no datagram in 4.0 s"),
    ],
)
def test_sensor(heard: Heard, status: Status, finding: str) -> None:
    result = sensor(heard, LIMITS, least_samples=33)
    assert result.status is status
    assert finding in result.finding
    assert bool(result.remedy) is (status is not Status.OK)


@pytest.mark.parametrize(
    ("heard", "unreachable", "needed", "status", "word"),
    [
        (camera(), "", True, Status.OK, "10.0 packets/s from arm:5556"),
        (camera(rate=0.5), "", False, Status.WARNING, "there is no chunk"),
        (camera(rate=0.5), "", True, Status.PROBLEM, "there is no chunk"),
        (Heard(4.0), "timed out", False, Status.PROBLEM, "arm:5556 cannot be reached: timed out"),
        (Heard(4.0), "", False, Status.PROBLEM, "can be reached, but nothing came"),
    ],
)
def test_robot(heard: Heard, unreachable: str, needed: bool, status: Status, word: str) -> None:
    result = robot(heard, LIMITS, where="arm:5556", unreachable=unreachable, needed=needed)
    assert result.status is status
    assert word in result.finding


def test_a_backlog_is_no_rate_no_age_and_no_step_of_the_clock() -> None:
    """A sender that was blocked sends what it has kept, all at once."""
    ear = Ear("calibrate")
    now = time.time()
    for age in range(60, 0, -1):
        ear.take(newest_time=now - age, send_time=now - age, receive_time=now, size=1000)
    heard = ear.result()
    assert (heard.packets, heard.size) == (60, 1000.0)
    assert (heard.rate, heard.age, heard.clock) == (0.0, math.inf, None)
    for number in range(20):  # and then as it should, from 2 s on
        received = now + 2 + number / 10
        ear.take(
            newest_time=received - 0.05,
            send_time=received - 0.01,
            receive_time=received,
            size=1000,
            items=3,
        )
    heard = ear.result()
    assert heard.age == pytest.approx(0.04, abs=0.005)
    assert heard.clock is not None
    assert heard.clock.steps == 0
    assert heard.clock.offset == pytest.approx(0.01, abs=0.005)
