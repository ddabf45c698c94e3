import json
import math
from pathlib import Path

import pytest

from vla_inference_ros.doctor import examine
from vla_inference_ros.doctor.command import main
from vla_inference_ros.doctor.result import Result, as_json, as_text, ok, problem, skipped, warning
from vla_inference_ros.doctor.settings import Settings
from vla_inference_ros.launch_arguments import ARGUMENTS

SOME = [
    ok("first", "fine", rate_hz=2.5, age_s=math.inf),
    warning("second check", "so so", "do this"),
    problem("third", "evil \x1b[2J\n", "do that"),
    skipped("fourth", "nothing there"),
]


def found(monkeypatch: pytest.MonkeyPatch, results: list[Result]) -> None:
    monkeypatch.setattr(examine, "examine", lambda settings, seconds: results)


def test_a_person_reads_a_line_a_check_and_its_remedy_below() -> None:
    assert as_text(SOME).splitlines() == [
        "OK       first         fine",
        "WARNING  second check  so so",
        "                       -> do this",
        r"PROBLEM  third         evil \x1b[2J\n",
        "                       -> do that",
        "skipped  fourth        nothing there",
        "1 OK, 1 warning, 1 problem, 1 skipped",
    ]


def test_a_machine_reads_json() -> None:
    content = json.loads(as_json(SOME))
    assert (content["problems"], content["warnings"]) == (1, 1)
    assert content["results"][0] == {
        "check": "first",
        "status": "OK",
        "finding": "fine",
        "remedy": "",
        "values": {"rate_hz": 2.5},
    }
    assert [each["status"] for each in content["results"]] == [
        *("OK", "WARNING", "PROBLEM", "skipped")
    ]


@pytest.mark.parametrize(("results", "status"), [(SOME, 1), (SOME[:2] + SOME[3:], 0)])
def test_only_a_problem_fails(
    results: list[Result], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, results)
    assert main([]) == status


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["robot_host"], "'robot_host' is not of the form name:=value"),
        (["robot_hots:=x"], "unknown argument 'robot_hots'"),
        (["sensor_port:=many"], "argument sensor_port:=many cannot be used"),
        (["params_file:=/no/such.yaml"], "there is no such file"),
        (["--listen", "0"], "'0' is not 2 to 600 seconds"),
        (["--listen", "nan"], "'nan' is not 2 to 600 seconds"),
        (["--wrong"], "--wrong"),
    ],
)
def test_a_wrong_command_line_is_2(
    given: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(given)
    assert exit_.value.code == 2
    assert why in capsys.readouterr().err


def test_options_may_stand_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    examined: list[tuple[str, int, float]] = []

    def examine_these(settings: Settings, seconds: float) -> list[Result]:
        port = settings.of("camera_bridge", "port")
        examined.append((settings.of("vlm", "model"), port, seconds))
        return []

    monkeypatch.setattr(examine, "examine", examine_these)
    assert main(["model:=stub", "--listen", "2", "camera_port:=5999", "--json"]) == 0
    assert examined == [("stub", 5999, 2.0)]


def test_a_parameters_file_that_is_broken_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("vlm: [", encoding="utf-8")
    assert main([f"params_file:={file}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vla-doctor: params_file {file} is no YAML: ")


def test_help_shows_every_launch_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    for argument in ARGUMENTS:
        assert f"  {argument.name}:={argument.default}" in said


def test_ctrl_c_ends_it_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(settings: object, seconds: float) -> list[Result]:
        raise KeyboardInterrupt

    monkeypatch.setattr(examine, "examine", interrupted)
    assert main([]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "vla-doctor: interrupted"
