import numpy as np

from vla_inference_ros.core.limits import MECA500_JOINTS
from vla_inference_ros.core.wire import RobotPacket
from vla_inference_ros.sim.needle import PERIOD, needle_axis, needle_depths
from vla_inference_ros.sim.robot_path import JOINT_SPEED_LIMITS, robot_packet

START = 1_700_000_000.0
STEP = 0.01
TIMES = START + np.arange(0.0, 2 * PERIOD, STEP)
PACKETS = [robot_packet(t, t + 0.001) for t in TIMES.tolist()]


def test_joints_stay_within_range_and_far_below_top_speed() -> None:
    joints = np.array([packet.joints for packet in PACKETS])
    low, high = np.array(MECA500_JOINTS).T
    assert (joints > low).all()
    assert (joints < high).all()
    speeds = np.abs(np.diff(joints, axis=0)).max(axis=0) / STEP
    assert (speeds > 0.0).all()
    assert (speeds < 0.1 * np.array(JOINT_SPEED_LIMITS)).all()


def test_joint_and_pose_velocities_are_continuous() -> None:
    path = np.array([packet.joints + packet.pose for packet in PACKETS])
    acceleration = np.abs(np.diff(path, n=2, axis=0)).max() / STEP**2
    assert acceleration < 20.0  # deg/s2 or mm/s2


def test_the_pose_moves_along_the_needle_axis_by_the_depth() -> None:
    positions = np.array([packet.pose[:3] for packet in PACKETS])
    depths = needle_depths(TIMES) * 1e3
    moved = positions - positions[0]
    expected = (depths - depths[0])[:, None] * needle_axis()
    np.testing.assert_allclose(moved, expected, atol=1e-9)


def test_the_pose_angles_turn_the_tool_axis_onto_the_needle_axis() -> None:
    alpha, beta, gamma = np.deg2rad(PACKETS[123].pose[3:])
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(alpha), -np.sin(alpha)], [0, np.sin(alpha), np.cos(alpha)]]
    )
    about_y = np.array(
        [[np.cos(beta), 0, np.sin(beta)], [0, 1, 0], [-np.sin(beta), 0, np.cos(beta)]]
    )
    about_z = np.array(
        [[np.cos(gamma), -np.sin(gamma), 0], [np.sin(gamma), np.cos(gamma), 0], [0, 0, 1]]
    )
    tool_axis = (about_x @ about_y @ about_z)[:, 2]
    np.testing.assert_allclose(tool_axis, needle_axis(), atol=1e-12)


def test_a_packet_survives_the_wire() -> None:
    packet = PACKETS[700]
    received = RobotPacket.unpack(packet.pack())
    assert (received.origin_time, received.send_time) == (packet.origin_time, packet.send_time)
    np.testing.assert_allclose(received.joints, packet.joints, rtol=1e-6)
    np.testing.assert_allclose(received.force, packet.force, rtol=1e-6)
    assert packet.force > 0.0
