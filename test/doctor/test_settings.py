from pathlib import Path

import pytest

from vla_inference_ros.doctor.result import Status
from vla_inference_ros.doctor.settings import parameters_file, read_settings
from vla_inference_ros.launch_arguments import ArgumentError
from vla_inference_ros.params_file import SettingsError


def write(folder: Path, text: str) -> dict[str, str]:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return {"params_file": str(file)}


def test_an_argument_goes_before_the_file_and_the_file_before_the_defaults(tmp_path: Path) -> None:
    given = write(
        tmp_path,
        "/camera_bridge:\n  ros__parameters: {port: 6000}\n"
        "robot_bridge:\n  ros__parameters: {port: 6001}\n"
        "/**:\n  ros__parameters: {cpu_affinity: '0', use_sim_time: false}\n",
    )
    settings = read_settings({**given, "robot_port": "7001"})
    assert settings.of("camera_bridge", "port") == 6000
    assert settings.of("robot_bridge", "port") == 7001
    assert settings.of("sensor_bridge", "port") == 9999
    assert settings.of("vlm", "cpu_affinity") == "0"
    assert parameters_file(settings).status is Status.OK


def test_a_value_of_the_wrong_type_is_a_problem(tmp_path: Path) -> None:
    text = "action_expert:\n  ros__parameters: {sensor_age_soft: 1}\n"
    settings = read_settings(write(tmp_path, text))
    result = parameters_file(settings)
    assert result.status is Status.PROBLEM
    assert "action_expert.sensor_age_soft is 1, not like 0.1" in result.finding
    assert "decimals" in result.remedy
    assert settings.of("action_expert", "sensor_age_soft") == 0.1


def test_names_that_no_node_takes_are_a_warning(tmp_path: Path) -> None:
    text = "vlm:\n  ros__parameters: {image_age: 1.0}\nvln:\n  ros__parameters: {model: tiny}\n"
    result = parameters_file(read_settings(write(tmp_path, text)))
    assert result.status is Status.WARNING
    assert "no node takes vlm.image_age, node 'vln'" in result.finding
    assert "docs/parameters.md" in result.remedy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("vlm: [", "is no YAML"),
        ("- vlm", "holds no nodes"),
        ("vlm: {model: tiny}", "vlm has no ros__parameters"),
        ("vlm: 3", "vlm has no map"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    text: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=why) as error:
        read_settings(write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'robot_hots'"):
        read_settings({"robot_hots": "x"})
