"""What is shown while something is done: nothing at first, then how far it is."""

import time

import pytest

from hrec_tf.cli import console


@pytest.mark.parametrize(("quiet", "shown"), [(0.01, True), (60.0, False)])
def test_how_many_parts_are_done_is_shown_once_it_takes_long(monkeypatch, capsys, quiet, shown):
    monkeypatch.setattr(console, "QUIET_SECONDS", quiet)
    with console.Progress().watch("reading") as activity:
        activity.count(1_200, 3_400)
        end = time.monotonic() + 30
        while shown and not activity._shown and time.monotonic() < end:
            time.sleep(0.01)
    assert ("reading  1,200 of 3,400" in capsys.readouterr().err) == shown
