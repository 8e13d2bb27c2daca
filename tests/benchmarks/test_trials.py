"""A trial trains a changed recipe and says how it does on the validation part, and on no other."""

import pytest

from benchmarks import trials
from hrec_tf.data.log_source import PreparedLog


@pytest.mark.integration
def test_a_trial_adds_a_line_with_its_command_and_never_sees_the_test_part(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(trials, "TRIALS", tmp_path / "trials.txt")
    monkeypatch.setattr(PreparedLog, "test", property(lambda log: pytest.fail("the test part")))
    given = ["--data", "online-retail", "--model", "gru4rec", "--seed", "1"]
    changes = ["--set", "epochs=1", "--set", "units=[8]"]
    for _ in range(2):
        assert trials.main([*given, *changes]) == 0
    first, numbers, again, same = (tmp_path / "trials.txt").read_text().splitlines()
    assert first == again == " ".join([*given, *changes])
    assert numbers == same and "Recall@20" in numbers and numbers.endswith("best epoch 1 of 1")
    assert numbers in capsys.readouterr().out
