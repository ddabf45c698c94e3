"""How punctual this machine is allowed to be: its CPU governor, and real-time priority."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vla_inference_ros.core.priority import raise_priority
from vla_inference_ros.doctor.result import Result, ok, skipped, warning

_SLOW_GOVERNORS = ("powersave", "conservative")


def gather_governors(sys: Path = Path("/sys")) -> list[str]:
    """Of each CPU that has one."""
    pattern = "devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
    return [file.read_text(encoding="utf-8").strip() for file in sorted(sys.glob(pattern))]


def cpu_governor(governors: list[str]) -> Result:
    """Whether the CPUs run at full speed at once."""
    check = "CPU governor"
    if not governors:
        return skipped(check, "the kernel shows none (as in a virtual machine)")
    told = ", ".join(f"{name} on {n} CPU(s)" for name, n in Counter(governors).items())
    if any(name in _SLOW_GOVERNORS for name in governors):
        return warning(
            check,
            f"{told}: a CPU that rests needs milliseconds to be fast again, so ticks come late",
            "sudo cpupower frequency-set -g performance",
        )
    return ok(check, told)


def gather_priority(priority: int) -> str:
    """Try a real-time priority in a thread of its own; what the system says against it, or ''."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(raise_priority, priority).result()


def realtime_priority(priority: int, refusal: str) -> Result:
    """Whether the nodes will get the highest ``priority`` that they ask for."""
    check = "real-time priority"
    if not priority:
        return skipped(check, "no node asks for it")
    if refusal:
        return warning(
            check,
            refusal.partition(". ")[0],
            "a line '<user> - rtprio 99' in /etc/security/limits.conf, then log in again",
        )
    return ok(check, f"{priority} is allowed")
