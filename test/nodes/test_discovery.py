from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vla_inference_ros.nodes.discovery import hasten_discovery

VARIABLE, OLD_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (VARIABLE, OLD_VARIABLE):
        monkeypatch.setenv(variable, "")  # so that it is put back, also if it was not there
        monkeypatch.delenv(variable)


def test_nodes_announce_themselves_every_second() -> None:
    hasten_discovery()
    profiles = ElementTree.fromstring(Path(os.environ[VARIABLE]).read_text(encoding="utf-8"))
    period = profiles.find(".//{*}participant[@is_default_profile='true']//{*}leaseAnnouncement")
    assert period is not None
    assert period.findtext("{*}sec") == "1"


@pytest.mark.parametrize("variable", [VARIABLE, OLD_VARIABLE])
def test_a_users_own_settings_stay(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "mine.xml")
    hasten_discovery()
    assert {v: os.environ.get(v) for v in (VARIABLE, OLD_VARIABLE)} == {
        VARIABLE: None,
        OLD_VARIABLE: None,
        variable: "mine.xml",
    }
