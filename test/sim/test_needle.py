import numpy as np

from vla_inference_ros.sim.needle import (
    CLEAR_DEPTH,
    FULL_DEPTH,
    PERIOD,
    PUNCTURE_DEPTH,
    contact_forces,
    needle_axis,
    needle_depth,
    needle_depths,
)

START = 1_700_000_000.0


def test_the_depth_repeats_and_spans_its_range() -> None:
    times = START + np.arange(0.0, PERIOD, 0.01)
    depths = needle_depths(times)
    assert depths.min() == CLEAR_DEPTH
    assert depths.max() == FULL_DEPTH
    np.testing.assert_allclose(needle_depths(times + 3 * PERIOD), depths, atol=1e-8)
    assert needle_depth(START + 7.0) == needle_depths(np.array([START + 7.0]))[0]


def test_velocity_and_acceleration_are_continuous() -> None:
    step = 1e-3
    depths = needle_depths(np.arange(0.0, 2 * PERIOD, step))
    velocity = np.diff(depths) / step
    assert np.abs(velocity).max() < 0.005  # m/s
    assert np.abs(np.diff(velocity)).max() / step < 0.02  # m/s2


def test_the_force_is_zero_before_contact_rises_drops_at_puncture_and_rises_again() -> None:
    forces = contact_forces(np.array([-3e-3, -1e-6, 0.0]))
    np.testing.assert_array_equal(forces, 0.0)
    before = contact_forces(np.linspace(1e-5, PUNCTURE_DEPTH, 50))
    assert (np.diff(before) > 0.0).all()
    through = contact_forces(np.linspace(PUNCTURE_DEPTH, PUNCTURE_DEPTH + 0.2e-3, 20))
    assert (np.diff(through) < 0.0).all()
    behind = contact_forces(np.linspace(PUNCTURE_DEPTH + 0.2e-3, FULL_DEPTH, 50))
    assert (np.diff(behind) > 0.0).all()
    assert behind.max() < before.max()


def test_the_axis_is_a_downward_unit_vector() -> None:
    axis = needle_axis()
    np.testing.assert_allclose(np.linalg.norm(axis), 1.0)
    assert axis[2] < -0.5
