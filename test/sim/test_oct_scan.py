import numpy as np

from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE
from vla_inference_ros.sim.needle import FULL_DEPTH, contact_forces, needle_depths
from vla_inference_ros.sim.oct_scan import POINT_SPACING, ascans, oct_samples

START = 1_700_000_000.0
TIP_POINTS = 12  # the fibre's own echo


def test_shapes_types_and_finite_values() -> None:
    force, scans = oct_samples(START + np.arange(15) / SENSOR_RATE)
    assert force.shape == (15,)
    assert force.dtype == np.float32
    assert scans.shape == (15, ASCAN_LENGTH)
    assert scans.dtype == np.float32
    assert np.isfinite(scans).all()
    assert (scans >= 0.0).all()


def test_the_surface_echo_comes_nearer_as_the_tip_does() -> None:
    depths = np.linspace(-4.5e-3, -0.3e-3, 40)
    scans = ascans(depths, np.arange(40))
    peaks = TIP_POINTS + scans[:, TIP_POINTS:].argmax(axis=1)
    np.testing.assert_allclose(peaks, -depths / POINT_SPACING, atol=4)
    assert (np.diff(peaks) < 0).all()


def test_a_deep_layer_keeps_showing_after_the_surface_was_passed() -> None:
    depth = np.array([3.0e-3])
    scan = np.mean([ascans(depth, np.array([n]))[0] for n in range(64)], axis=0)
    layer = round((4.8e-3 - depth[0]) / POINT_SPACING)
    assert abs(int(scan[150:].argmax()) + 150 - layer) <= 3


def test_the_force_is_that_of_the_depth() -> None:
    times = START + np.arange(0.0, 20.0, 0.05)
    force, _ = oct_samples(times)
    np.testing.assert_allclose(force, contact_forces(needle_depths(times)), atol=1e-6)
    assert force.min() == 0.0
    assert force.max() > 0.3


def test_the_same_time_gives_the_same_sample_and_neighbours_differ() -> None:
    times = START + np.arange(3) / SENSOR_RATE
    _, first = oct_samples(times)
    _, again = oct_samples(times)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - first[1]).max() > 0.01


def test_depths_beyond_the_table_are_taken_as_its_ends() -> None:
    far = ascans(np.array([-1.0, FULL_DEPTH + 1e-3]), np.array([5, 6]))
    assert np.isfinite(far).all()
    assert far[0, TIP_POINTS:].max() < 0.1
