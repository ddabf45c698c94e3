"""The GPU bench runs through in its reduced form, also without ROS, and survives what fails."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import simplejpeg
from bare_packages import link_packages
from gpu import cases, plain_jpeg, schedule, settings, updating, variants
from gpu.parts import Ended, Part
from gpu.precision import no_float8
from gpu.schedule import Outcome
from report import Row
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from vla_inference_ros.model.capture import Captured
from vla_inference_ros.model.qwen.features import QwenFeatures

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "bench" / "on_gpu.py"
NEEDED = (
    *("torch", "transformers", "numpy", "opencv-python-headless", "safetensors"),
    "scikit-image",
)
FIGURES = {  # of each part, some that must be there
    1: ("inputs are read anew", "features are the CPU's, float32", "memory comes back"),
    2: (
        *("matmul rate [TFLOP/s]", "plain, median / max [ms]", "ours, median / max [ms]"),
        *("one pass, median / max [ms]", "compiled, median / max [ms]", "ours: memory [GB]"),
        *("ours: TFLOP/s, share of the matmul rate", "one pass, compiled: cosine"),
        "kernels of an update: time [ms], number",
    ),
    3: (
        *("reference, median / max [ms]", "reference in bfloat16, median / max [ms]"),
        *("float32, median / max [ms]", "bfloat16, median / max [ms]"),
        *("memory bandwidth [GB/s]", "float32: floor [ms], time over it"),
    ),
    4: ("product in float8 [ms], TFLOP/s, error", "float8: cosine", "float8, compiled: cosine"),
    5: ("1 robot, median / max [ms]", "2 robots: cosine", "2 robots, pictures ready: TFLOP/s, "),
    6: (
        "alone, without priority, median/p99/max [ms]",
        "two processes, with priority, median/p99/max [ms]",
        "one process: update median / max [ms], number",
    ),
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only packages that the script's machine has."""
    folder = tmp_path_factory.mktemp("packages")
    there = link_packages(folder, *NEEDED)
    assert not any(name.startswith(("ros-", "rclpy", "rosidl", "vla")) for name in there)
    return folder


def start(bare: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the script with nothing but those packages and what Python has."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(bare), "HOME": str(bare)}
    return subprocess.Popen(
        [sys.executable, "-S", str(SCRIPT), *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_all_parts_run_in_a_bare_environment(bare: Path, tmp_path: Path) -> None:
    process = start(bare, "--reduced", "--seconds", "3000", "--out", str(tmp_path))
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert "Traceback" not in err
    content = json.loads((tmp_path / "on_gpu.json").read_text(encoding="utf-8"))
    block = (tmp_path / "on_gpu.md").read_text(encoding="utf-8")
    assert out.endswith(f"\n{block}\n")
    assert content["facts"]["device"] == "CPU, reduced form"
    assert [part["part"]["number"] for part in content["parts"]] == list(FIGURES)
    for part in content["parts"]:
        assert part["ended"]["end"] == "done", part
        names = [row["name"] for row in part["rows"]]
        number = part["part"]["number"]
        for figure in FIGURES[number] if number != 4 or not no_float8(cases.CPU) else ("float8: ",):
            assert any(name.startswith(figure) for name in names), (figure, names)
        assert all(row["value"] and f"| {row['value']} |" in block for row in part["rows"])


def test_bare_environment_has_neither_ros_nor_the_package(bare: Path, tmp_path: Path) -> None:
    """What the test above rests on."""
    absent = ("rclpy", "std_msgs", "rosidl_parser", "vla_inference_ros")
    assert all(map(importlib.util.find_spec, absent)), "not even here"
    code = (
        "import importlib.util as u\n"
        f"found = [name for name in {absent} if u.find_spec(name)]\n"
        "assert not found, found\n"
        "import torch, transformers, cv2, skimage, safetensors"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(bare)}
    subprocess.run([sys.executable, "-S", "-c", code], env=environment, cwd=tmp_path, check=True)


class Stale(Captured):
    """A graph that goes on giving what it gave first."""

    _first: Tensor | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self._first is None:
            self._first = super().__call__(*inputs)
        return self._first


@pytest.mark.parametrize("name", ["inputs are read anew", "a replay is the plain call, float32"])
def test_a_case_sees_a_graph_that_reads_old_inputs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.CASES[name](cases.CPU)
    monkeypatch.setattr(cases, "Captured", Stale)
    with pytest.raises(AssertionError):
        cases.CASES[name](cases.CPU)


def test_a_case_sees_what_keeps_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[QwenFeatures] = []

    class Kept(QwenFeatures):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            kept.append(self)

    monkeypatch.setattr(cases, "QwenFeatures", Kept)
    with pytest.raises(AssertionError, match="still refers"):
        cases.CASES["memory comes back"](cases.CPU)


# --- what fails, hangs or comes too late


FAKES = {
    "__init__": f"__path__.append({str(SCRIPT.with_name('gpu'))!r})",
    "settings": "def prepared(reduced): return reduced",
    "good": "def rows(_):\n    yield Row('figure', '1')",
    "failing": "def rows(_):\n    yield Row('figure', '1')\n    raise ValueError('on purpose')",
    "guarding": (
        "def broken():\n    yield Row('figure', '1')\n    raise ValueError('on purpose')\n"
        "def rows(_):\n    yield from guarded('half', broken())\n    yield Row('next', '2')"
    ),
    "dying": "import os\ndef rows(_):\n    yield Row('figure', '1')\n    os._exit(7)",
    "hanging": (
        "import subprocess, time\ndef rows(_):\n"
        "    yield Row('child', str(subprocess.Popen(['sleep', '1000']).pid))\n"
        "    time.sleep(1000)"
    ),
    "missing": "import no_such_package\ndef rows(_):\n    yield Row('figure', '1')",
    "unbuilt": "import vla_inference_ros.no_such\ndef rows(_):\n    yield Row('figure', '1')",
}


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that go wrong, in place of those that need torch, for the children to import."""
    folder = tmp_path / "gpu"
    folder.mkdir()
    for name, text in FAKES.items():
        imports = (
            "from report import Row\nfrom gpu.guard import guarded\n" if "Row(" in text else ""
        )
        (folder / f"{name}.py").write_text(imports + text + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


def outcomes_of(*names: str, seconds: float = 60.0, reduced: bool = True) -> list[Outcome]:
    outcomes: list[Outcome] = []
    parts = [Part(number, name, name, 1.0, 5.0) for number, name in enumerate(names, start=1)]
    schedule.run(parts, seconds, reduced, outcomes, lambda: None)
    return outcomes


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("reduced", [True, False])
def test_what_goes_wrong_in_a_part_leaves_the_others_alone(
    reduced: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ("failing", "dying", "missing", "unbuilt", "guarding", "good")
    outcomes = outcomes_of(*names, reduced=reduced)
    assert [outcome.part.module for outcome in outcomes] == list(names)
    assert {outcome.part.module: outcome.line.rpartition(",")[0] for outcome in outcomes} == {
        "failing": "FAILED (ValueError: on purpose)",
        "dying": "FAILED (its process ended with exit code 7)",
        "missing": "left out (there is no module 'no_such_package': install it)",
        "unbuilt": "FAILED (ModuleNotFoundError: No module named 'vla_inference_ros.no_such')",
        "guarding": "FAILED (as the rows say)",
        "good": "done",
    }
    assert [outcome.kept for outcome in outcomes] == [False, False, True, False, False, True]
    for outcome in outcomes:  # what was measured before it went wrong still counts
        assert outcome.part.module in ("missing", "unbuilt") or outcome.rows[0].value == "1"
    assert outcomes[4].rows[1:] == [
        Row("half: ValueError: on purpose", "FAILED", "", False),
        Row("next", "2"),
    ]
    out, err = capfd.readouterr()
    assert err.count("ValueError: on purpose") == 2
    assert out.index("1. FAILED (ValueError") < out.index("2. dying") < out.index("6. done")


@pytest.mark.usefixtures("fakes")
def test_a_part_that_hangs_is_ended_with_all_that_it_started() -> None:
    hanging, good = outcomes_of("hanging", "good", seconds=8.0)
    assert hanging.ended.end == "CUT SHORT"
    assert not hanging.kept
    assert 2.0 < hanging.seconds < 7.0
    assert good.kept
    for _ in range(100):
        if not Path(f"/proc/{hanging.rows[0].value}").exists():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the part's own child is still there")


@pytest.mark.usefixtures("fakes")
def test_a_part_that_would_begin_too_late_is_named() -> None:
    (first, second) = outcomes_of("good", "good", seconds=8.0, reduced=False)
    assert first.ended == Ended("LEFT OUT: too late", "4 s are left")
    assert second.ended.end == "done"  # it has all that the first did not take
    assert not first.kept


def test_time_that_a_part_did_not_take_goes_to_the_others() -> None:
    parts = [Part(n, "", "", share, 0.0) for n, share in enumerate((10, 30, 20))]
    assert schedule._limit(parts, 60.0) == 10.0
    assert schedule._limit(parts[1:], 59.0) == pytest.approx(35.4)
    assert schedule._limit(parts[2:], 58.0) == 58.0


def test_arguments_are_checked(bare: Path) -> None:
    for arguments, complaint in (
        (("--parts", "1,9"), "'9' is no part: they are 1, 2, 3, 4, 5, 6"),
        (("--out", "no/such/file"), "there is no folder no/such"),
    ):
        process = start(bare, *arguments)
        _, err = process.communicate()
        assert process.returncode == 2
        assert complaint in err


def test_a_run_that_is_ended_leaves_what_it_has(bare: Path, tmp_path: Path) -> None:
    process = start(bare, "--reduced", "--parts", "1", "--out", str(tmp_path / "found.md"))
    assert process.stdout is not None
    for line in process.stdout:
        if "inputs are read anew" in line:
            break
    process.terminate()
    out, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, out + err
    found = (tmp_path / "found.md").read_text(encoding="utf-8")
    assert out.endswith(f"\n{found}\n")
    assert "CUT SHORT (the whole run was ended)" in found
    assert "| inputs are read anew |" in found


# --- the other ways to run the same model


def small(**sizes: Any) -> updating.UpdateBench:
    return updating.UpdateBench(dataclasses.replace(settings.prepared(True), **sizes))


def test_batches_give_each_robot_what_it_has_alone() -> None:
    bench = small(blocks=2)
    robots = bench.robots(3)
    batched = bench.pair.features(variants.BatchedFeatures)
    one = bench.ours()
    alone = np.concatenate([one(views) for views in robots])
    for chosen in ([0, 1, 2], [2], [1], [1, 0]):
        found = batched.of_all([robots[robot] for robot in chosen])
        np.testing.assert_allclose(found, alone[chosen], atol=1e-5, rtol=0)
        np.testing.assert_array_equal(batched.again(), found)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


def test_layers_are_compiled_once_for_each_kind() -> None:
    """One windowed and one whole block of the vision encoder, and one of the language model."""
    bench = small(blocks=3, layers=3)
    (views,) = bench.robots()
    plain, counter = bench.ours()(views), CompileCounter()
    with variants.compiled(counter):
        compiled = bench.ours()(views)
    assert counter.frame_count == 3
    np.testing.assert_allclose(compiled, plain, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(bench.ours()(views), plain)
    assert counter.frame_count == 3  # and no longer than it was asked for


@pytest.mark.parametrize("order", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize("least", [(0, 0), (1, 1), (100, 60), (320, 180)])
def test_without_simplejpeg_pictures_are_the_same(order: str, least: tuple[int, int]) -> None:
    (jpeg,) = reference.photographs(1)
    smallest: dict[str, Any] = {"min_width": least[0], "min_height": least[1]}
    smallest = smallest if least[0] else {}
    expected = simplejpeg.decode_jpeg(jpeg, order, **smallest)
    np.testing.assert_array_equal(plain_jpeg.decode_jpeg(jpeg, order, **smallest), expected)


def test_without_simplejpeg_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="OpenCV cannot decode it"):
        plain_jpeg.decode_jpeg(b"\xff\xd8 no picture", "RGB")
