import pytest

from vla_inference_ros.doctor.domain import DomainFacts, middleware, no_clash
from vla_inference_ros.doctor.result import Status
from vla_inference_ros.doctor.watch import DomainWatch

NODES = ["vlm", "camera_bridge", "monitor"]


@pytest.mark.parametrize(
    ("nodes", "goes_on", "status", "finding"),
    [
        ((), False, Status.OK, "domain 5, 0 other node(s)"),
        (("/other/monitor", "/rviz"), False, Status.OK, "2 other node(s)"),
        (("/monitor",), False, Status.PROBLEM, "has nodes of the same names already: monitor"),
        (("/camera_bridge", "/monitor"), True, Status.WARNING, "with camera_bridge, monitor"),
        (("/monitor", "/monitor"), True, Status.PROBLEM, "already: monitor (2 times)"),
    ],
)
def test_clashes(nodes: tuple[str, ...], goes_on: bool, status: Status, finding: str) -> None:
    result = no_clash(DomainFacts("5", nodes=nodes), NODES, run_goes_on=goes_on)
    assert result.status is status
    assert finding in result.finding


def test_a_domain_whose_ports_others_take_is_a_warning() -> None:
    result = no_clash(DomainFacts("150"), NODES, run_goes_on=False)
    assert result.status is Status.WARNING
    assert "0 to 101" in result.remedy


def test_a_domain_that_cannot_be_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "many")
    watch = DomainWatch("many", [])
    facts = watch.look(0.1)
    watch.close()
    assert facts.error
    result = no_clash(facts, NODES, run_goes_on=False)
    assert result.status is Status.PROBLEM
    assert result.finding.startswith("ROS_DOMAIN_ID many: no node can be started")
    assert middleware(facts).status is Status.SKIPPED


def test_another_middleware_is_a_warning() -> None:
    result = middleware(DomainFacts("0", middleware="rmw_cyclonedds_cpp"))
    assert result.status is Status.WARNING
    assert "RMW_IMPLEMENTATION=rmw_fastrtps_cpp" in result.remedy
    assert middleware(DomainFacts("0", middleware="rmw_fastrtps_cpp")).status is Status.OK
