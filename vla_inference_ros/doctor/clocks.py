"""The senders' clocks: how far from ours, how fast they part, and whether they can be learnt."""

from __future__ import annotations

from vla_inference_ros.doctor.heard import Heard
from vla_inference_ros.doctor.result import Result, Status, ok, problem, skipped, warning

LARGE_OFFSET = 1.0  # that a host has which nobody keeps in step [s]
LARGE_DRIFT = 200e-6  # of a quartz that is not well [s/s]
LARGE_UNCERTAINTY = 0.01  # [s]
MANY_STEPS = 3  # in some seconds: it is never learnt for long
_NTP = "run NTP or PTP (chrony) on the sender's host and on this one"


def clock(name: str, heard: Heard, mode: str, age_limit: float) -> Result:
    """A sender's clock; ``mode`` is how its node takes it, ``age_limit`` [s] the age over which
    its data make chunks DEGRADED.
    """
    check = f"clock of {name}"
    reading = heard.clock
    if reading is None:
        return skipped(check, "nothing was heard")
    values = {"offset_s": reading.offset, "drift": reading.drift, "steps": reading.steps}
    told = f"{reading.offset:+.4f} s to add"
    if reading.calibrated and reading.uncertainty > 0:
        told += f" +- {reading.uncertainty * 1e3:.1f} ms"
    if reading.drift:
        told += f", drift {reading.drift * 1e6:+.0f} ppm"
    if not reading.calibrated:
        told += f" or so (still being learnt, {heard.packets} packets)"
    if mode == "receive":
        return ok(check, f"not asked: stamps are times of receipt (measured: {told})", **values)
    if reading.calibrated and reading.uncertainty < 0:
        return problem(
            check,
            "its packets contradict each other: the bridge uses none of them",
            f"{_NTP}; do two senders share one address?",
            **values,
        )
    if reading.steps:
        status = Status.PROBLEM if reading.steps >= MANY_STEPS else Status.WARNING
        finding = f"it jumped {reading.steps} time(s) within {heard.seconds:.0f} s; {told}"
        remedy = f"{_NTP}, which slews it; a machine that is busy can look like it: try again"
        return Result(check, status, finding, remedy, values)
    if mode == "trust" and abs(reading.offset) > age_limit:
        return problem(
            check,
            f"{told}, but clock_mode is trust, which adds nothing",
            f"set clock_mode: calibrate, or {_NTP}",
            **values,
        )
    if abs(reading.offset) > LARGE_OFFSET:
        return warning(
            check, f"{told}: it is corrected, but nobody keeps it in step", _NTP, **values
        )
    if abs(reading.drift) > LARGE_DRIFT or reading.uncertainty > LARGE_UNCERTAINTY:
        return warning(
            check, f"{told}: it is not steady", f"{_NTP}; a wired network helps", **values
        )
    return ok(check, told, **values)
