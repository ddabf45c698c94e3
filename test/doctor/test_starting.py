"""The doctor where ROS's own libraries end a process that starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vla_inference_ros.doctor.result import Status
from vla_inference_ros.doctor.starting import StartFacts, gather_start, settings

DOCTOR = Path(sys.executable).with_name("vla-doctor")


def test_settings_that_are_well() -> None:
    facts = gather_start(os.environ)
    assert facts == StartFacts()
    assert facts.works
    assert settings(facts).status is Status.OK


@pytest.mark.parametrize(
    ("changes", "finding", "remedy"),
    [
        ({"RMW_IMPLEMENTATION": "rmw_none_cpp"}, "which is not installed", "rmw_fastrtps_cpp"),
        ({"ROS_DOMAIN_ID": "233"}, "ROS_DOMAIN_ID is 233, not from 0 to 232", "0 to 101"),
        ({"ROS_DOMAIN_ID": "x"}, "ROS_DOMAIN_ID is 'x', which is not a whole", "0 to 101"),
        ({"ROS_STATIC_PEERS": "::1"}, "'::1', of which no IPv4", "export hosts that have one"),
        ({"HOME": "/proc/none", "ROS_LOG_DIR": ""}, "write its log", "export ROS_LOG_DIR"),
        # Not known to the package: ROS's own words, from a process that dies of it.
        ({"RCL_ASSERT_RMW_ID_MATCHES": "rmw_none_cpp"}, "no node can be started: ", "env | grep"),
    ],
)
def test_the_doctor_always_reports(changes: dict[str, str], finding: str, remedy: str) -> None:
    done = subprocess.run(
        [DOCTOR, "--json", "--listen", "2", "model:=stub", "sim:=true"],
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 1
    results = {each["check"]: each for each in json.loads(done.stdout)["results"]}
    found = results["ROS settings"]
    assert found["status"] == "PROBLEM"
    assert finding in found["finding"]
    assert remedy in found["remedy"]
    assert results["ROS domain"]["status"] == "skipped"
    assert len(results) > 15  # all else is examined


def test_ros_that_cannot_be_imported_is_told_by_another_check() -> None:
    facts = StartFacts(import_error="ImportError: no such library")
    assert not facts.works
    assert settings(facts).status is Status.SKIPPED
