import math
import time
from array import array

import pytest
from status_cases import NOW, report, reports_of, seen_of, statistics, status_of

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.health import SILENT_AFTER, State
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, InferenceStatus, RobotState, StreamReport, VLFeatures
from vla_inference_ros.nodes.reports import Reports
from vla_inference_ros.nodes.status import status_block

# --- reports


def test_the_newest_report_of_each_stream_is_kept() -> None:
    reports = reports_of(
        report("vlm", "View2", accepted=1),
        report("camera_bridge", "View2", accepted=5),
        report("vlm", "View2", accepted=2),
    )
    assert [(r.node, r.stream, r.accepted) for r in reports.all()] == [
        ("camera_bridge", "View2", 5),
        ("vlm", "View2", 2),
    ]
    assert reports.get("vlm", "View2").accepted == 2
    assert reports.get("vlm", "View1") == StreamReport()


@pytest.mark.parametrize(("kinds", "counts"), [(["json"], []), ([], [1]), (["json"], [1, 2])])
def test_a_report_that_makes_no_sense_is_refused(kinds: list[str], counts: list[int]) -> None:
    good = report("camera_bridge", "View1", accepted=5)
    reports = reports_of(good)
    bad = StreamReport(
        node="camera_bridge", stream="View1", problem_kinds=kinds, problem_counts=array("Q", counts)
    )
    names = f"'camera_bridge' names {len(kinds)} kinds of problems, but {len(counts)} counts"
    with pytest.raises(ValueError, match=names):
        reports.add(bad, time.monotonic())
    assert reports.all() == [good]


def test_of_two_nodes_of_one_name_the_first_is_kept_and_the_other_is_a_conflict() -> None:
    reports = reports_of(report("vlm", "vlm", accepted=1, source_id=1))
    now = time.monotonic()
    assert not reports.add(report("vlm", "vlm", accepted=9, source_id=2), now)
    assert reports.get("vlm", "vlm").accepted == 1
    assert reports.conflict() == "more than one vlm in this ROS domain: does another graph run?"


def test_one_that_stands_by_is_no_conflict() -> None:
    reports = reports_of(report("vlm", "vlm", accepted=1, source_id=1))
    standby = report("vlm", "vlm", accepted=9, source_id=2, inactive=True)
    assert not reports.add(standby, time.monotonic())
    assert reports.conflict() == ""
    alone = reports_of(standby)
    assert alone.get("vlm", "vlm").accepted == 9


def test_two_recorders_of_one_name_are_none_of_the_inferences_conflicts() -> None:
    reports = reports_of(
        report("recorder", "robot", source_id=1), report("recorder", "robot", source_id=2)
    )
    assert reports.conflict() == ""


def test_a_chunk_is_of_the_expert_that_reports() -> None:
    chunk = ActionChunk(source_id=1)
    nobody = reports_of(report("inventor", "action_expert", source_id=1))
    assert not nobody.is_of_expert(chunk)
    expert = reports_of(report("action_expert", "action_expert", source_id=1))
    assert expert.is_of_expert(chunk)
    assert not expert.is_of_expert(ActionChunk(source_id=2))
    assert (expert.has_expert_besides(1), expert.has_expert_besides(2)) == (False, True)
    silent = reports_of(
        report("action_expert", "action_expert", source_id=1), silent_for=SILENT_AFTER + 1
    )
    assert not silent.is_of_expert(chunk)
    assert not silent.has_expert_besides(2)


def test_a_parameter_is_lost_if_its_node_reports_and_does_not_know_of_it() -> None:
    asked = {"/vla/instruction": "Hold", "vlm verbosity": "debug", "gone verbosity": "quiet"}
    knows = report("vlm", "vlm", set_parameters=["verbosity:=debug"])
    assert reports_of(knows).lost(asked) == ()
    assert reports_of(report("vlm", "vlm", set_parameters=["verbosity:=quiet"])).lost(asked) == ()
    lost = ("vlm: parameter verbosity, which was set to debug, was lost in a restart",)
    assert reports_of(knows, report("vlm", "View1")).lost(asked) == lost
    assert reports_of(report("vlm", "")).lost(asked) == lost
    assert reports_of(report("vlm", "vlm"), silent_for=SILENT_AFTER + 1).lost(asked) == ()


def test_a_node_without_streams_reports_of_no_stream() -> None:
    assert reports_of(report("web_view", "")).all() == []


def test_silence_counts_from_the_arrival_of_the_newest_report() -> None:
    reports = reports_of(report("vlm", "vlm"), silent_for=10.0)
    assert reports.silence("vlm", "vlm") == pytest.approx(10.0, abs=1.0)
    assert reports.silence("vlm", "View1") == math.inf
    reports.add(report("vlm", "vlm"), time.monotonic())
    assert reports.silence("vlm", "vlm") < 1.0


def test_troubles_are_told_by_stream_each_once() -> None:
    reports = reports_of(
        report("vlm", "View1", troubles=["nothing comes", "pictures stay the same"]),
        report("camera_bridge", "View1", troubles=["nothing comes"]),
        report("camera_bridge", "View2"),
        report("robot_bridge", "robot", problems={"wrong size": 3}),
        report("recorder", "robot", troubles=["disk is full"]),
    )
    assert reports.troubles() == (
        "View1: nothing comes",
        "recorder robot: disk is full",
        "View1: pictures stay the same",
    )


def test_of_a_node_that_has_fallen_silent_only_that_is_told() -> None:
    views = [report("camera_bridge", view, troubles=["nothing comes"]) for view in VIEWS]
    reports = reports_of(*views, silent_for=SILENT_AFTER + 1.0)
    assert reports.troubles() == ("camera_bridge does not report: has it stopped?",)
    for view in views:
        reports.add(view, time.monotonic())
    assert reports.troubles() == tuple(f"{view}: nothing comes" for view in VIEWS)


def test_a_node_that_was_only_there_for_a_while_is_forgotten() -> None:
    gone = [report(node, "robot") for node in ("recorder", "robot_bridge")]
    for silent_for, nodes in ((10.0, ("recorder", "robot_bridge")), (60.0, ("robot_bridge",))):
        told = tuple(f"{node} does not report: has it stopped?" for node in nodes)
        assert reports_of(*gone, silent_for=silent_for).troubles() == told


def test_counts_beyond_what_the_status_holds_are_its_most() -> None:
    most = 2**64 - 1
    reports = [report("robot_bridge", "robot", clock_mode="trust", clock_steps=2**32 - 1)]
    reports += [report("sensor_bridge", "sensor", clock_mode="trust", clock_steps=7)]
    for one in reports:
        one.rejected = most
    status = status_of(seen_of(*reports))
    assert (status.rejected, status.clock_steps) == (most, 2**32 - 1)


def test_an_age_is_the_items_when_it_was_reported() -> None:
    # Reports come once a second: by the time of the status the item has long had successors.
    made = report("sensor_bridge", "sensor", at=NOW - 0.9, newest=NOW - 0.902)
    assert reports_of(made).age(made, NOW) == pytest.approx(0.002, abs=1e-6)
    silent = reports_of(made, silent_for=SILENT_AFTER + 1.0)
    assert silent.age(made, NOW) == pytest.approx(0.902, abs=1e-6)


def test_an_age_is_negative_only_if_there_is_no_item() -> None:
    none = report("camera_bridge", "View1")
    assert reports_of(none).age(none, NOW) == -1.0
    ahead = report("camera_bridge", "View1", newest=NOW + 5.0)  # by the camera's own clock
    assert reports_of(ahead).age(ahead, NOW) == 0.0


def test_the_hold_is_the_experts_while_it_reports() -> None:
    held = report("action_expert", "action_expert", hold="no image of View2")
    vlm = report("vlm", "vlm", hold="no image of View3")  # the expert says so itself
    assert Reports().hold() == reports_of(vlm).hold() == ""
    assert reports_of(held, vlm).hold() == "no image of View2"
    assert reports_of(held, vlm, silent_for=SILENT_AFTER + 1).hold() == ""
    assert reports_of(held, report("action_expert", "action_expert")).hold() == ""


def test_a_chunk_that_is_newer_than_a_hold_ends_it() -> None:
    reports = reports_of(report("action_expert", "action_expert", hold="no features yet"))
    assert reports.hold(NOW - 0.1) == "no features yet"
    assert reports.hold(NOW + 0.1) == ""


def test_what_was_lost_is_told_in_what_can_be_read_and_no_more() -> None:
    asked = {f"recorder q{number}": "\x1b[2J\nv" for number in range(1000)}
    lost = reports_of(report("recorder", "frames")).lost(asked)
    assert len(lost) <= 31
    assert all(each.isprintable() for each in lost)
    assert lost[0] == (
        r"recorder: parameter q0, which was set to \x1b[2J\nv, was lost in a restart"
    )


def test_a_report_of_more_parameters_than_a_node_can_have_is_refused() -> None:
    made = report("recorder", "frames")
    made.set_parameters = [f"q{number}:=v" for number in range(5000)]
    with pytest.raises(ValueError, match="more texts"):
        Reports().add(made, 0.0)


# --- what the inference waits for


def test_it_waits_for_stages_that_do_not_report() -> None:
    assert "vlm" in Reports().waiting_for()
    assert "action_expert" in Reports().waiting_for()
    ready = [report("vlm", "vlm"), report("action_expert", "action_expert", ready=True, fill=65)]
    assert reports_of(*ready).waiting_for() == []
    assert reports_of(*ready, silent_for=SILENT_AFTER + 1).waiting_for() == ["vlm", "action_expert"]


def test_it_waits_for_images_of_views_that_have_none() -> None:
    stages = [report("vlm", "vlm"), report("action_expert", "action_expert", ready=True)]
    views = [report("vlm", view, ready=view != "View3" and view != "View5") for view in VIEWS]
    bridge = [report("camera_bridge", view) for view in VIEWS]  # does not matter
    assert reports_of(*stages, *views, *bridge).waiting_for() == ["images of View3, View5"]


def test_it_waits_for_samples_only_while_the_expert_cannot_work() -> None:
    vlm = report("vlm", "vlm")
    for ready, fill, expected in (
        (False, 20, ["sensor samples (20/65)"]),
        (False, 60, []),  # then it is the features that are missing
        (True, 40, []),
    ):
        expert = report("action_expert", "action_expert", ready=ready, fill=fill)
        assert reports_of(vlm, expert).waiting_for() == expected


# --- the status message


def test_states_are_the_messages_constants() -> None:
    for state in State:
        assert getattr(InferenceStatus, state.name) == state


def test_before_anything_has_come() -> None:
    status = status_of(seen_of())
    ages = [getattr(status, f"view{n}_age") for n in range(1, 6)]
    assert [*ages, status.sensor_age, status.robot_age, status.features_age] == [-1.0] * 8
    assert (status.vl_updates, status.actions, status.rejected) == (0, 0, 0)
    assert (status.vl_time_mean, status.action_time_p99, status.action_jitter_p99) == (0, 0, 0)
    assert (status.sensor_fill, status.sensor_window) == (0, 65)


def test_stages() -> None:
    status = status_of(
        seen_of(
            report("vlm", "vlm", rate=2.5, problems={"skipped tick": 3, "empty instruction": 1}),
            report("action_expert", "action_expert", rate=9.9, problems={"missed tick": 7}),
            features=VLFeatures(update_id=25),
            chunk=ActionChunk(
                header=header(NOW - 0.05),
                chunk_id=100,
                step_dt=0.1,
                features_stamp=time_message(NOW - 0.65),
            ),
            vl_time=statistics(0.2, 0.4),
            action_time=statistics(*(n / 1000 for n in range(1, 102))),
            action_interval=statistics(0.1, 0.098, 0.103),
        )
    )
    assert (status.vl_updates, status.vl_rate, status.vl_skipped_ticks) == (25, 2.5, 3)
    assert (status.vl_time_mean, status.vl_time_p50) == pytest.approx((0.3, 0.3))
    assert (status.actions, status.action_rate, status.action_missed_ticks) == (100, 9.9, 7)
    assert status.action_time_p50 == pytest.approx(0.051)
    assert status.action_time_p95 == pytest.approx(0.096)
    assert status.action_time_p99 == pytest.approx(0.100)
    assert status.action_jitter_p99 == pytest.approx(0.003, rel=0.02)
    assert status.features_age == pytest.approx(0.6)


def test_only_bad_input_counts_as_rejected() -> None:
    status = status_of(
        seen_of(
            report("camera_bridge", "camera", problems={"json": 2, "jpeg": 1}),
            report("sensor_bridge", "sensor", problems={"length": 4}),
            report("vlm", "vlm", problems={"skipped tick": 30}),
            report("action_expert", "action_expert", problems={"missed tick": 70, "not finite": 5}),
        )
    )
    assert status.rejected == 12


def test_images_are_counted_by_the_bridge_or_where_a_driver_sends_them_by_the_vlm() -> None:
    status = status_of(
        seen_of(
            report("camera_bridge", "View1", accepted=300, newest=NOW - 0.03),
            report("vlm", "View1", accepted=50, newest=NOW - 0.4),
            report("camera_bridge", "View2"),  # runs, but View2 comes from elsewhere
            report("vlm", "View2", accepted=40, newest=NOW - 0.3),
        )
    )
    assert (status.view1_received, status.view2_received, status.view3_received) == (300, 40, 0)
    ages = (status.view1_age, status.view2_age, status.view3_age)
    assert ages == pytest.approx((0.03, 0.3, -1.0), abs=1e-6)


def test_sensor_and_robot() -> None:
    status = status_of(
        seen_of(
            report("sensor_bridge", "sensor", accepted=6500, newest=NOW - 0.01, clock_offset=-3.25),
            report("action_expert", "action_expert", fill=64),
            report("robot_bridge", "robot", accepted=1000, newest=NOW - 0.02),
            robot_state=RobotState(
                joint_position=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], position=[1.0, 2.0, 3.0]
            ),
        )
    )
    assert (status.sensor_received, status.sensor_fill) == (6500, 64)
    assert (status.sensor_clock_offset, status.robot_received) == (-3.25, 1000)
    assert (status.sensor_age, status.robot_age) == pytest.approx((0.01, 0.02), abs=1e-6)
    joints = [getattr(status, f"joint_{n}") for n in range(1, 7)]
    assert joints == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert (status.position_x, status.position_y, status.position_z) == (1.0, 2.0, 3.0)


# --- the block on the console


def test_the_block_shows_degrees_and_millimetres() -> None:
    status = InferenceStatus(
        vl_updates=25,
        vl_time_mean=0.381,
        actions=100,
        action_time_mean=0.0232,
        sensor_fill=65,
        sensor_window=65,
        joint_1=math.radians(45.23),
        position_x=0.12345,
        **{f"{view.lower()}_received": 3000 for view in VIEWS},
    )
    assert str(status_block(status, "14:32:15", True)).splitlines() == [
        "--- Status (14:32:15) ---",
        "VL Updates: 25 | VL avg: 381ms",
        "Actions: 100 | Action avg: 23.2ms",
        "Images recv: View1:3000, View2:3000, View3:3000, View4:3000, View5:3000",
        "Sensor buffer: 65/65",
        "Robot: J1=45.23°, Px=123.45mm",
    ]
    assert "Robot: no packet yet" in str(status_block(status, "14:32:15", False))
