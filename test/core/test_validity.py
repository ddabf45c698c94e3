from __future__ import annotations

from vla_inference_ros.core.validity import reservations


def of(reuse_index: int = 4, samples: int = 65, missing: int = 0) -> list[str]:
    return reservations(
        reuse_index=reuse_index, reuse_limit=4, samples=samples, missing=missing, window=65
    )


def test_a_planned_use_of_a_full_window_has_no_reservations() -> None:
    assert of() == of(reuse_index=1) == []


def test_features_used_too_often_are_named() -> None:
    assert of(reuse_index=5) == ["VLM late: features used 5 times, planned 4"]


def test_a_window_that_is_not_full_is_named_once() -> None:
    assert of(samples=64, missing=1) == ["sensor window not full: 64/65 samples"]


def test_gaps_in_a_full_window_are_named() -> None:
    assert of(missing=15) == ["sensor window has gaps: 15 samples missing"]


def test_reasons_add_up() -> None:
    assert len(of(reuse_index=9, samples=0, missing=65)) == 2
