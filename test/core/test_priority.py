"""What changes a process for good is tried out in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vla_inference_ros.core.priority import parse_cpus, threads

TIMEOUT = 60.0  # of a process that should end at once [s]
NOBODY = 65534
HERE = sorted(os.sched_getaffinity(0))
NOT_HERE = max(HERE) + 1024
BESIDES = """
import os, threading
from vla_inference_ros.core.priority import pin_process, raise_priority, threads

ending = threading.Event()
besides = threading.Thread(target=ending.wait)
besides.start()

def policy_of(thread):
    policy = os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
    return {os.SCHED_FIFO: "FIFO", os.SCHED_OTHER: "ordinary"}[policy]

def tell(*words):
    print(*words, sep="|", flush=True)
"""
NO_RIGHTS = f"""
import resource
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
if os.geteuid() == 0:
    os.setuid({NOBODY})
"""


def told(*code: str) -> list[list[str]]:
    """What a process says that runs ``code`` beside another thread; a list of words a line."""
    script = "\n".join([BESIDES, "try:", *indented(*code), "finally:", "    ending.set()"])
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert result.returncode == 0, result.stderr
    return [line.split("|") for line in result.stdout.splitlines()]


def indented(*code: str) -> list[str]:
    return ["    " + line for text in code for line in text.splitlines()]


# --- lists of CPUs


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0", {0}),
        ("0,2-3", {0, 2, 3}),
        ("5-5", {5}),
        ("3,1,1-2", {1, 2, 3}),
        ("0, 2", {0, 2}),
        ("4095", {4095}),
        ("0-4095", set(range(4096))),
    ],
)
def test_a_list_of_cpus_is_read_as_taskset_writes_it(text: str, cpus: set[int]) -> None:
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize(
    "text",
    ["", " ", ",", "0,", "0,,1", "a", "0;1", "-1", "1-", "3-2", "0-1-2", "0-6:2", "1.5", "4096"],
)
def test_what_is_no_list_of_cpus_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a list of CPUs such as 0,2-3") as caught:
        parse_cpus(text)
    assert str(caught.value).startswith(repr(text))


# --- affinity


def test_all_threads_are_kept_on_the_cpus() -> None:
    ((complaint, *cpus),) = told(
        f"complaint = pin_process('{HERE[0]}')",
        "tell(complaint, *(os.sched_getaffinity(thread) for thread in threads()))",
    )
    assert complaint == ""
    assert cpus == [f"{{{HERE[0]}}}"] * 2


def test_cpus_may_be_given_back() -> None:
    every = ",".join(map(str, HERE))
    ((first, second, cpus),) = told(
        f"first, second = pin_process('{HERE[-1]}'), pin_process('{every}')",
        "tell(first, second, sorted(os.sched_getaffinity(0)))",
    )
    assert (first, second, cpus) == ("", "", str(HERE))


def test_a_cpu_that_does_not_exist_is_complained_of_and_changes_nothing() -> None:
    ((complaint, cpus),) = told(
        f"complaint = pin_process('{NOT_HERE}')",
        "tell(complaint, sorted(os.sched_getaffinity(0)))",
    )
    assert f"parameter 'cpu_affinity' is '{NOT_HERE}', which the system refuses" in complaint
    assert complaint.endswith("This process may use CPU " + ", ".join(map(str, HERE)))
    assert cpus == str(HERE)


def test_a_cpu_that_does_not_exist_among_others_is_complained_of() -> None:
    ((complaint, cpus),) = told(
        f"complaint = pin_process('{HERE[0]},{NOT_HERE}')",
        "tell(complaint, os.sched_getaffinity(0))",
    )
    assert complaint == (
        f"parameter 'cpu_affinity' is '{HERE[0]},{NOT_HERE}', of which this process may use only "
        f"CPU {HERE[0]}"
    )
    assert cpus == f"{{{HERE[0]}}}"


def test_a_thread_that_ends_meanwhile_is_passed_over() -> None:
    ((complaint, cpus),) = told(
        "from vla_inference_ros.core import priority",
        "ending.set()",
        "ended = besides.native_id",
        "besides.join()",
        "while ended in threads():",  # the kernel's thread outlives Python's by a moment
        "    os.sched_yield()",
        "priority.threads = lambda: [ended, os.getpid()]",
        f"complaint = pin_process('{HERE[0]}')",
        "tell(complaint, os.sched_getaffinity(0))",
    )
    assert (complaint, cpus) == ("", f"{{{HERE[0]}}}")


# --- real-time priority


def fifo_is_allowed() -> bool:
    """Whether the system lets a process of ours have what :func:`raise_priority` asks for."""
    ask = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(7))"
    process = subprocess.run([sys.executable, "-c", ask], capture_output=True, timeout=TIMEOUT)
    return process.returncode == 0


@pytest.fixture(scope="module")
def allowed() -> None:
    if not fifo_is_allowed():
        # Without it nothing can be seen of what the kernel makes of it.
        pytest.skip("this system allows no real-time priority here")


@pytest.mark.usefixtures("allowed")
def test_the_calling_thread_gets_a_real_time_priority_and_no_other() -> None:
    ((complaint, own, priority, other),) = told(
        "complaint = raise_priority(7)",
        "priority = os.sched_getparam(0).sched_priority",
        "tell(complaint, policy_of(0), priority, policy_of(besides.native_id))",
    )
    assert (complaint, own, priority, other) == ("", "FIFO", "7", "ordinary")


@pytest.mark.usefixtures("allowed")
def test_other_threads_get_it_when_they_are_named() -> None:
    ((complaint, own, other),) = told(
        "complaint = raise_priority(7, [besides.native_id])",
        "tell(complaint, policy_of(0), policy_of(besides.native_id))",
    )
    assert (complaint, own, other) == ("", "ordinary", "FIFO")


@pytest.mark.usefixtures("allowed")
def test_threads_that_are_started_later_are_ordinary() -> None:
    own, later = told(
        "raise_priority(7)",
        "tell(policy_of(0))",
        "later = threading.Thread(target=lambda: tell(policy_of(0)))",
        "later.start()",
        "later.join()",
    )
    assert (own, later) == (["FIFO"], ["ordinary"])


def test_a_priority_that_is_not_allowed_is_complained_of_with_the_remedy() -> None:
    ((complaint, own),) = told(NO_RIGHTS, "tell(raise_priority(7), policy_of(0))")
    assert "parameter 'realtime_priority' is 7, which the system refuses: " in complaint
    assert "Operation not permitted" in complaint
    assert "rtprio 99' in /etc/security/limits.conf, or set it to 0" in complaint
    assert own == "ordinary"


def test_the_threads_are_those_of_this_process() -> None:
    assert os.getpid() in threads()
    ((count, known),) = told("tell(len(threads()), besides.native_id in threads())")
    assert (count, known) == ("2", "True")
