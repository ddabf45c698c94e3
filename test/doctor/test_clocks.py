import pytest

from vla_inference_ros.core.clock import ClockReading
from vla_inference_ros.doctor.clocks import clock
from vla_inference_ros.doctor.heard import Heard
from vla_inference_ros.doctor.result import Status


def heard(
    offset: float, *, drift: float = 0.0, uncertainty: float = 0.0002, steps: int = 0
) -> Heard:
    reading = ClockReading("calibrate", offset, drift, uncertainty, uncertainty >= 0, steps, False)
    return Heard(4.0, packets=30, clock=reading)


@pytest.mark.parametrize(
    ("what", "mode", "status", "finding"),
    [
        (heard(0.02), "calibrate", Status.OK, "+0.0200 s to add +- 0.2 ms"),
        (heard(5.0), "calibrate", Status.WARNING, "nobody keeps it in step"),
        (heard(-5.0), "trust", Status.PROBLEM, "clock_mode is trust, which adds nothing"),
        (heard(5.0), "receive", Status.OK, "stamps are times of receipt"),
        (heard(0.0, steps=1), "calibrate", Status.WARNING, "it jumped 1 time(s) within 4 s"),
        (heard(0.0, steps=3), "calibrate", Status.PROBLEM, "it jumped 3 time(s)"),
        (heard(0.0, drift=400e-6), "calibrate", Status.WARNING, "drift +400 ppm: it is not steady"),
        (heard(0.0, uncertainty=0.05), "calibrate", Status.WARNING, "not steady"),
        (
            heard(0.0, uncertainty=-1.0),
            "calibrate",
            Status.OK,
            "or so (still being learnt, 30 packets)",
        ),
        (
            Heard(4.0, 30, clock=ClockReading("calibrate", 0.0, 0.0, -1.0, True, 0, False)),
            "calibrate",
            Status.PROBLEM,
            "its packets contradict each other",
        ),
        (Heard(4.0), "calibrate", Status.SKIPPED, "nothing was heard"),
    ],
)
def test_clocks(what: Heard, mode: str, status: Status, finding: str) -> None:
    result = clock("sensor", what, mode, age_limit=0.1)
    assert result.check == "clock of sensor"
    assert result.status is status
    assert finding in result.finding
    assert ("NTP" in result.remedy) is (status in (Status.WARNING, Status.PROBLEM))
