from __future__ import annotations

import threading
import time

import pytest

from vla_inference_ros.core.worker import Worker

TIMEOUT = 10.0  # s, until what should come about at once has failed to


def test_the_body_runs_in_a_named_thread_until_it_is_stopped() -> None:
    running, names = threading.Event(), []

    def body(stopping: threading.Event) -> None:
        names.append(threading.current_thread().name)
        running.set()
        stopping.wait(TIMEOUT)

    worker = Worker("sensor socket", body)
    assert not running.is_set()
    worker.start()
    assert running.wait(TIMEOUT)
    assert worker.stop()
    assert names == ["sensor socket"]
    assert worker.error is None


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3), KeyboardInterrupt()])
def test_what_the_body_died_of_is_kept(error: BaseException) -> None:
    def body(stopping: threading.Event) -> None:
        raise error

    worker = Worker("socket", body)
    worker.start()
    assert worker.stop(TIMEOUT)
    assert worker.error is error


def test_the_owner_sees_the_error_without_stopping() -> None:
    def body(stopping: threading.Event) -> None:
        raise ValueError("broken")

    worker = Worker("socket", body)
    worker.start()
    deadline = time.monotonic() + TIMEOUT
    while worker.error is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert isinstance(worker.error, ValueError)


def test_a_body_that_does_not_end_is_reported_in_time() -> None:
    release = threading.Event()

    def body(stopping: threading.Event) -> None:
        release.wait(TIMEOUT)

    worker = Worker("stuck", body)
    worker.start()
    assert not worker.stop(timeout=0.01)
    release.set()
    assert worker.stop(TIMEOUT)


def test_stopping_twice_or_before_the_start_is_harmless() -> None:
    def body(stopping: threading.Event) -> None:
        stopping.wait(TIMEOUT)

    assert Worker("socket", body).stop()
    worker = Worker("socket", body)
    worker.start()
    assert worker.stop()
    assert worker.stop()


def test_it_can_be_started_once_only() -> None:
    worker = Worker("socket", lambda stopping: None)
    worker.start()
    with pytest.raises(RuntimeError):
        worker.start()
    worker.stop()


def test_a_body_that_returns_too_early_is_an_error() -> None:
    worker = Worker("socket", lambda stopping: None)
    worker.start()
    deadline = time.monotonic() + TIMEOUT
    while worker.error is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert isinstance(worker.error, RuntimeError)
    assert "'socket' ended without being asked to" in str(worker.error)
