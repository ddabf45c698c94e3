from pathlib import Path

from vla_inference_ros.core.priority import raise_priority
from vla_inference_ros.doctor.machine import (
    cpu_governor,
    gather_governors,
    gather_priority,
    realtime_priority,
)
from vla_inference_ros.doctor.result import Status


def governors(root: Path, *names: str) -> list[str]:
    for number, name in enumerate(names):
        folder = root / "devices" / "system" / "cpu" / f"cpu{number}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{name}\n", encoding="utf-8")
    return gather_governors(root)


def test_powersave_is_named(tmp_path: Path) -> None:
    result = cpu_governor(governors(tmp_path, "performance", "powersave", "powersave"))
    assert result.status is Status.WARNING
    assert result.finding.startswith("performance on 1 CPU(s), powersave on 2 CPU(s)")
    assert result.remedy == "sudo cpupower frequency-set -g performance"


def test_performance_is_well(tmp_path: Path) -> None:
    assert cpu_governor(governors(tmp_path, "performance")).status is Status.OK


def test_a_machine_without_governors_is_skipped(tmp_path: Path) -> None:
    assert cpu_governor(governors(tmp_path)).status is Status.SKIPPED


def test_a_priority_that_the_system_refuses_is_a_warning() -> None:
    refusal = raise_priority(1000)  # over what any system has
    assert refusal
    assert gather_priority(1000) == refusal
    result = realtime_priority(1000, refusal)
    assert result.status is Status.WARNING
    assert "which the system refuses" in result.finding
    assert "rtprio 99" in result.remedy
    assert realtime_priority(10, "").status is Status.OK
    assert realtime_priority(0, "").status is Status.SKIPPED
