"""What the debug records say. Ages are from acquisition, in this host's clock."""

from __future__ import annotations

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.clock import ClockReading
from vla_inference_ros.msg import ActionChunk, StreamReport, VLFeatures

PACKET_PERIOD = 1.0  # of each stream's packets one is told of in so long [s]


def packet_line(
    stream: str,
    content: str,
    *,
    newest_time: float,
    send_time: float | None,
    receive_time: float,
    offset: float,
    clock: ClockReading,
    handling: float,
) -> str:
    """A packet, with the times as in :meth:`SenderStamps.observe` and the ``offset`` [s] from it,
    published ``handling`` [s] after it came.
    """
    sent = (
        "no send time"
        if send_time is None
        else f"sent {_ms(receive_time - send_time - offset)} before"
    )
    return (
        f"{stream}: {content}, {_ms(receive_time - newest_time - offset)} old when it came, {sent}"
        f", published {_ms(handling)} after; {_clock(clock)}"
    )


def update_line(features: VLFeatures, *, reading: float, decoding: float) -> str:
    """A VLM update: its pictures' ages when they were taken, and how long [s] it took to take them
    from their topics and to decode them.
    """
    started = seconds(features.started)
    ages = ", ".join(
        f"{view} {_ms(started - seconds(stamp))}"
        for view, stamp in zip(features.views, features.view_stamps, strict=True)
    )
    return (
        f"update {features.update_id}: pictures {ages} old; taken in {_ms(reading)}, "
        f"decoded in {_ms(decoding)}, all in {_ms(seconds(features.finished) - started)}"
        f"{_reasons(features.reasons)}"
    )


def chunk_line(chunk: ActionChunk, *, late: float, publishing: float) -> str:
    """An action chunk: what it is from, and the times [s] of its making; ``late`` is its tick."""
    robot = f"robot {_ms(chunk.robot_age)} old" if chunk.robot_age >= 0 else "no robot state"
    return (
        f"chunk {chunk.chunk_id}: VLM update {chunk.vl_update_id} "
        f"({chunk.vl_reuse_index}/{chunk.vl_reuse_limit}), {_ms(chunk.features_age)} old; "
        f"window {chunk.sensor_samples}/{chunk.sensor_window}, {chunk.sensor_missing} missing, "
        f"{_ms(chunk.sensor_age)} old; {robot}; tick {_ms(late)} late, "
        f"step {_ms(chunk.inference_time)}, published in {_ms(publishing)}; "
        f"{chunk.valid_steps} valid steps{_reasons(chunk.reasons)}"
    )


def report_line(report: StreamReport) -> str:
    """What a node reports of a stream or stage."""
    newest = seconds(report.newest_stamp)
    problems = [
        f"{count} {kind}"
        for kind, count in zip(report.problem_kinds, report.problem_counts, strict=True)
    ]
    parts = [
        f"{report.accepted} accepted",
        f"{report.rejected} rejected",
        f"{report.ignored} ignored",
        *([f"{report.held_back} held back"] if report.held_back else []),
        f"{report.lost} lost",
        f"{report.overtaken} overtaken",
        f"{report.repeated} repeated",
        f"{report.rate:.1f}/s",
        f"newest {_ms(seconds(report.header.stamp) - newest)} old" if newest else "none yet",
        *([f"{report.fill}/{report.capacity} held"] if report.capacity else []),
        *([f"problems: {', '.join(problems)}"] if problems else []),
        *([f"troubles: {', '.join(report.troubles)}"] if report.troubles else []),
        *([f"held back: {report.hold}"] if report.hold else []),
        *(f"{t.stage} p50 {_ms(t.p50)}, p99 {_ms(t.p99)}" for t in report.timings),
    ]
    return f"report of {report.node}: {report.stream}: {'; '.join(parts)}"


def _clock(clock: ClockReading) -> str:
    known = f"{_ms(clock.uncertainty)} uncertain" if clock.uncertainty >= 0 else "being learnt"
    ages = ", ages are lower bounds" if clock.lower_bound else ""
    return (
        f"clock {clock.mode}: offset {clock.offset:+.6f} s, drift {clock.drift * 1e6:+.1f} ppm, "
        f"{known}, {clock.steps} steps{ages}"
    )


def _reasons(reasons: list[str]) -> str:
    return f"; DEGRADED: {'; '.join(reasons)}" if reasons else ""


def _ms(duration: float) -> str:
    return f"{duration * 1e3:.1f} ms"
