"""Live A-scans pass, dead ones whose times go on are told, and soon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.core.liveness import SENSOR_DEAD_AFTER, SensorLife
from vla_inference_ros.core.renewal import JUDGED
from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE
from vla_inference_ros.sim.oct_scan import oct_samples

START = 1_700_000_000.0
BATCH = 15


def lives(ascans: Callable[[NDArray[np.float64]], NDArray[np.float32]], seconds: float) -> bool:
    """Whether the sensor is alive in the end."""
    life = SensorLife()
    for first in range(0, int(seconds * SENSOR_RATE), BATCH):
        times = START + np.arange(first, first + BATCH) / SENSOR_RATE
        life.add(times, ascans(times))
    return not life.is_dead


def test_the_simulated_sensor_is_alive_for_all_of_its_motion() -> None:
    life = SensorLife()
    for first in range(0, int(45 * SENSOR_RATE), BATCH):
        times = START + np.arange(first, first + BATCH) / SENSOR_RATE
        life.add(times, oct_samples(times)[1])
        assert not life.is_dead


def test_a_constant_sensor_is_dead_in_time() -> None:
    constant = np.random.default_rng(0).random((BATCH, ASCAN_LENGTH)).astype(np.float32)
    constant[:] = constant[0]
    assert lives(lambda times: constant, SENSOR_DEAD_AFTER - 0.1)
    assert not lives(lambda times: constant, SENSOR_DEAD_AFTER + 0.1)


@pytest.mark.parametrize("length", [BATCH, 10 * BATCH, 1500, 2205, 6000])
def test_old_samples_that_come_again_are_dead(length: int) -> None:
    old = np.random.default_rng(0).random((length, ASCAN_LENGTH)).astype(np.float32)

    def ring(times: NDArray[np.float64]) -> NDArray[np.float32]:
        return old[np.rint((times - START) * SENSOR_RATE).astype(int) % length]

    whole = length / SENSOR_RATE
    assert lives(ring, whole)
    assert not lives(ring, whole + SENSOR_DEAD_AFTER + 0.1)


def test_doubled_and_overtaken_datagrams_do_not_make_it_dead() -> None:
    life = SensorLife()
    batches = [START + np.arange(n, n + BATCH) / SENSOR_RATE for n in range(0, 1300, BATCH)]
    for one, other in zip(batches[::2], batches[1::2], strict=False):
        for times in (other, one, one, other):
            life.add(times, oct_samples(times)[1])
            assert not life.is_dead


@pytest.mark.parametrize("step", [-10.0, -2.0, 1.5, 100.0])
def test_a_clock_that_is_set_makes_no_live_sensor_dead(step: float) -> None:
    life = SensorLife()
    for first in range(0, 1300, BATCH):
        true = START + np.arange(first, first + BATCH) / SENSOR_RATE
        life.add(true + (step if first > 650 else 0.0), oct_samples(true)[1])
        assert not life.is_dead


def test_it_comes_to_life_again() -> None:
    life = SensorLife()
    times = START + np.arange(650) / SENSOR_RATE
    life.add(times, np.zeros((650, ASCAN_LENGTH), np.float32))
    assert life.is_dead
    times = START + 1.0 + np.arange(650) / SENSOR_RATE
    for part in np.array_split(times, 50):
        life.add(part, oct_samples(part)[1])
        assert life.is_dead == (part[-1] - START < 650 / SENSOR_RATE + JUDGED - 0.01)


def stepwise(period: float) -> Callable[[NDArray[np.float64]], NDArray[np.float32]]:
    """The sensor's A-scans, of which one in each ``period`` [s] comes again and again."""
    return lambda times: oct_samples(START + np.floor((times - START) / period) * period)[1]


@pytest.mark.parametrize("period", [0.1, 0.28, 0.45])
def test_a_scans_that_are_renewed_too_seldom_are_dead_all_the_time(period: float) -> None:
    life, renewed = SensorLife(), stepwise(period)
    for first in range(0, 2600, BATCH):
        times = START + np.arange(first, first + BATCH) / SENSOR_RATE
        life.add(times, renewed(times))
        assert life.is_dead or first < 650


@pytest.mark.parametrize("rate", [25.0, 100.0, 325.0])
def test_a_sender_that_is_quicker_than_its_sensor_is_alive(rate: float) -> None:
    assert lives(stepwise(1 / rate), 3.0)


def test_a_sensor_that_gives_few_levels_is_alive() -> None:
    """As one of eight bits, with noise of about one level."""
    assert lives(lambda times: np.round(oct_samples(times)[1] * 100), 5.0)


@pytest.mark.parametrize("noise", [1e-7, 1e-6])
def test_an_a_scan_with_noise_that_no_sensor_has_so_little_of_is_dead(noise: float) -> None:
    dice, scan = np.random.default_rng(1), oct_samples(np.array([START]))[1]

    def frozen(times: NDArray[np.float64]) -> NDArray[np.float32]:
        return (scan * (1 + noise * dice.normal(size=(len(times), 1)))).astype(np.float32)

    assert not lives(frozen, 1.0)


@pytest.mark.parametrize("point", [0, 16, 512])
def test_an_a_scan_of_which_one_point_lives_is_dead(point: int) -> None:
    dice, scan = np.random.default_rng(1), oct_samples(np.array([START]))[1]

    def frozen(times: NDArray[np.float64]) -> NDArray[np.float32]:
        scans = np.repeat(scan, len(times), axis=0)
        scans[:, point] = dice.random(len(times))
        return scans

    assert not lives(frozen, 1.0)
