from __future__ import annotations

from array import array
from typing import Any

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.clock import ClockReading
from vla_inference_ros.msg import ActionChunk, StageTiming, StreamReport, VLFeatures
from vla_inference_ros.nodes.debug_lines import chunk_line, packet_line, report_line, update_line

LEARNT = ClockReading("calibrate", -2.5, 1.5e-6, 0.00025, True, 1, False)
LEARNING = ClockReading("calibrate", 0.25, 0.0, -1.0, False, 0, True)
NOW = 1.7e9


def packet(clock: ClockReading, send_time: float | None) -> str:
    """A packet received at NOW, by a sender whose clock is 2.5 s ahead of ours."""
    return packet_line(
        "View1",
        "a frame",
        newest_time=NOW + 2.5 - 0.0625,
        send_time=send_time,
        receive_time=NOW,
        offset=-2.5,
        clock=clock,
        handling=0.0015,
    )


def test_a_packet_has_its_ages_in_our_clock_and_its_senders_clock() -> None:
    assert packet(LEARNT, NOW + 2.5 - 0.0078125) == (
        "View1: a frame, 62.5 ms old when it came, sent 7.8 ms before, published 1.5 ms after; "
        "clock calibrate: offset -2.500000 s, drift +1.5 ppm, 0.2 ms uncertain, 1 steps"
    )


def test_a_packet_without_a_send_time_and_a_clock_that_is_being_learnt() -> None:
    assert packet(LEARNING, None) == (
        "View1: a frame, 62.5 ms old when it came, no send time, published 1.5 ms after; "
        "clock calibrate: offset +0.250000 s, drift +0.0 ppm, being learnt, 0 steps, "
        "ages are lower bounds"
    )


def features(**fields: Any) -> VLFeatures:
    return VLFeatures(
        update_id=14,
        views=["View1", "View3"],
        view_stamps=[time_message(NOW - 0.03125), time_message(NOW - 0.0625)],
        started=time_message(NOW),
        finished=time_message(NOW + 0.25),
        **fields,
    )


def test_an_update_has_its_pictures_ages_and_times() -> None:
    line = update_line(features(), reading=0.001, decoding=0.0125)
    assert line == (
        "update 14: pictures View1 31.2 ms, View3 62.5 ms old; taken in 1.0 ms, decoded in "
        "12.5 ms, all in 250.0 ms"
    )
    line = update_line(features(reasons=["old", "few"]), reading=0.0, decoding=0.0)
    assert line.endswith("all in 250.0 ms; DEGRADED: old; few")


def chunk(**fields: Any) -> ActionChunk:
    given = {"robot_age": 0.005, "valid_steps": 8} | fields
    return ActionChunk(
        chunk_id=51,
        vl_update_id=14,
        vl_reuse_index=2,
        vl_reuse_limit=4,
        features_age=0.5,
        sensor_samples=64,
        sensor_window=65,
        sensor_missing=1,
        sensor_age=0.0125,
        inference_time=0.025,
        **given,
    )


def test_a_chunk_has_its_lineage_and_times() -> None:
    assert chunk_line(chunk(), late=0.0005, publishing=0.001) == (
        "chunk 51: VLM update 14 (2/4), 500.0 ms old; window 64/65, 1 missing, 12.5 ms old; "
        "robot 5.0 ms old; tick 0.5 ms late, step 25.0 ms, published in 1.0 ms; 8 valid steps"
    )
    degraded = chunk(robot_age=-1.0, valid_steps=4, reasons=["no robot state", "VLM late"])
    line = chunk_line(degraded, late=0.0, publishing=0.0)
    assert "; no robot state; tick" in line
    assert line.endswith("4 valid steps; DEGRADED: no robot state; VLM late")


def test_a_report_has_its_counts_and_what_is_wrong() -> None:
    counts = {"accepted": 3000, "rejected": 2, "ignored": 1, "lost": 4, "overtaken": 5}
    report = StreamReport(
        header=header(NOW), node="camera_bridge", stream="View1", rate=15.0, repeated=6, **counts
    )
    said = (
        "report of camera_bridge: View1: 3000 accepted; 2 rejected; 1 ignored; 4 lost; "
        "5 overtaken; 6 repeated; 15.0/s; "
    )
    assert report_line(report) == said + "none yet"
    report.newest_stamp = time_message(NOW - 0.0625)
    report.problem_kinds, report.problem_counts = ["bad JPEG"], array("Q", [2])
    report.troubles, report.hold = ["late", "missing"], "no image"
    report.fill, report.capacity = 60, 65
    report.timings = [StageTiming(stage="wire to topic", p50=0.0005, p99=0.002)]
    assert report_line(report) == said + (
        "newest 62.5 ms old; 60/65 held; problems: 2 bad JPEG; troubles: late, missing; "
        "held back: no image; wire to topic p50 0.5 ms, p99 2.0 ms"
    )
