"""Boundaries that are told, or begun at long gaps, are those of simulated sessions."""

import pytest

from benchmarks import boundaries


@pytest.mark.integration
@pytest.mark.parametrize(
    "arguments", [{"boundaries": "supervised"}, {"use_gaps": True, "gap_weight": 1.0}]
)
def test_most_first_events_are_found(monkeypatch, arguments):
    for setting, value in {"TRAINED": 200, "MEASURED": 50, "EPOCHS": 8}.items():
        monkeypatch.setattr(boundaries, setting, value)
    assert boundaries.measured("hm-rnn", arguments, seed=0).f1 >= 0.9
