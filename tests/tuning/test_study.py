"""A study: what is tried follows from the seed, whoever is killed; trials are counted right."""

import subprocess
import sys

import numpy as np
import optuna
import pytest

from hrec_tf.tuning import Choices, Space
from hrec_tf.tuning.study import said_of
from hrec_tf.tuning.trial_locks import TrialLocks
from tests.tuning.artificial import SETTINGS, SPACE, leave, make, opened, value

MANY = 12
"""More trials than TPE draws at random before it learns, which are 10."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The trials of a study that nothing happened to."""
    with opened(tmp_path_factory.mktemp("whole") / "study.db") as study:
        make(study, MANY)
        return study.records()


def said(trials):
    return [(trial.number, trial.state, trial.value, trial.changes) for trial in trials]


def test_the_first_trial_is_the_start_and_others_lie_in_the_space(whole):
    assert whole[0].changes["optimizer.learning_rate"] == 0.1
    assert whole[0].changes["arguments.units"] == [8]
    assert [trial.number for trial in whole] == list(range(1, MANY + 1))
    for trial in whole:
        assert trial.value == value(trial.changes) and trial.state == "complete"
        assert all(SPACE.searched[key].holds(held) for key, held in trial.changes.items())
    assert len({str(trial.changes) for trial in whole}) == MANY


def test_killed_and_resumed_it_tries_the_same(whole, tmp_path):
    path = tmp_path / "study.db"
    for trials in (2, MANY):
        with opened(path) as study:
            make(study, trials - 1)
            leave(study, trials)
            assert study.standing()[:2] == (trials - 1, 1)
    with opened(path) as study:
        make(study, MANY)
        assert said(study.records()) == said(whole)
        assert study.num_left == 2 and study.standing()[:2] == (MANY, 0)


def test_a_process_that_ended_before_it_asked_leaves_no_second_start(whole, tmp_path):
    with opened(tmp_path / "study.db") as study:
        study._study.enqueue_trial(study._start)
        make(study, 3)
        assert said(study.records()) == said(whole)[:3]


def test_another_seed_tries_other_settings(whole, tmp_path):
    with opened(tmp_path / "study.db", seed=4) as study:
        make(study, 3)
        assert study.records()[0].changes["arguments.units"] == [8]
        assert said(study.records()[1:]) != said(whole[1:3])


def test_a_trial_that_failed_is_kept_and_not_counted_and_the_next_is_another(tmp_path):
    with opened(tmp_path / "study.db") as study:
        trial = study.begin(2)
        study.fail(trial, "ValueError: units")
        study.release(trial)
        make(study, 2)
        failed, *others = study.records()
        assert (failed.number, failed.state, failed.value) == (1, "failed", None)
        assert failed.error == "ValueError: units"
        assert [(t.number, t.state) for t in others] == [(2, "complete"), (3, "complete")]
        assert all(trial.changes != failed.changes for trial in others)
        assert study.num_left == 0 and study.standing().finished == 2


def test_a_pruned_trial_counts_and_has_what_was_reported(tmp_path):
    with opened(tmp_path / "study.db", pruner="median") as study:
        make(study, 1)
        trial = study.begin(2)
        for epoch, reported in enumerate((0.25, 0.5)):
            trial.report(reported, epoch)
        study.prune(trial)
        study.release(trial)
        assert study.begin(2) is None
        pruned = study.records()[1]
        assert (pruned.state, pruned.value, pruned.reports) == ("pruned", None, (0.25, 0.5))
        assert study.standing().best == study.records()[0].value


@pytest.mark.parametrize(("pruner", "pruned_at"), [("median", 1), ("none", None)])
def test_the_median_of_the_epoch_decides_from_the_second_epoch_on(tmp_path, pruner, pruned_at):
    with opened(tmp_path / "study.db", pruner=pruner) as study:
        for best in range(1, 6):  # medians 3, 6
            trial = study.begin(6)
            for epoch in range(2):
                trial.report(best * (epoch + 1), epoch)
                assert not trial.should_prune(), "five trials must be complete first"
            study.complete(trial, float(best))
            study.release(trial)
        trial = study.begin(6)
        found = None
        for epoch, reported in enumerate((2.0, 5.9)):
            trial.report(reported, epoch)
            found = epoch if trial.should_prune() else found
        assert found == pruned_at
        study.prune(trial)
        study.release(trial)


def test_trials_are_divided_and_a_running_one_is_not_begun_again(tmp_path):
    path = tmp_path / "study.db"
    holding = (
        "import sys; from pathlib import Path; from hrec_tf.tuning.trial_locks import TrialLocks\n"
        "locks = TrialLocks(Path(sys.argv[1])); locks.hold(0); print('held', flush=True)\n"
        "sys.stdin.read()"
    )
    with opened(path) as study:
        first = study.begin(1)
        study.release(first)
        # Another process makes it: its lock, without all that the package would import.
        source = (
            "import sys, types\n"
            "for name in ('hrec_tf', 'hrec_tf.tuning'):\n"
            "    module = types.ModuleType(name); sys.modules[name] = module\n"
            f"    module.__path__ = [{str(_package('hrec_tf'))!r} + name[7:].replace('.', '/')]\n"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", source + holding, f"{path}.lock"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with other:
            assert other.stdout.readline() == "held\n"
            assert study.begin(1) is None and study.is_full(1)
            assert study.standing()[:2] == (0, 1)
            other.kill()
        assert not study.is_full(1), "the system gives back what a dead process held"
        again = study.begin(1)
        assert again.params == first.params and study.num_left == 1
        study.complete(again, 0.5)
        study.release(again)


def test_a_trial_that_ends_while_it_is_looked_at_was_not_left(tmp_path, monkeypatch):
    path = tmp_path / "study.db"
    with opened(path) as one, opened(path) as other:
        trial = one.begin(2)
        held, looked = TrialLocks.is_held, []

        def is_held(locks, number):  # the other process has it, ends it, and gives back the lock
            looked.append(number)
            one.complete(trial, 0.5)
            return held(locks, number)

        monkeypatch.setattr(TrialLocks, "is_held", is_held)
        begun = other.begin(2)
        assert looked == [trial.number]
        assert (one.place(trial), other.place(begun)) == (0, 1)
        assert (other.standing()[:2], other.num_left) == ((1, 1), 0)


def _package(name):
    import importlib.util

    return importlib.util.find_spec(name).submodule_search_locations[0] + "/"


def test_a_study_of_something_else_is_refused(tmp_path):
    path = tmp_path / "study.db"
    with opened(path):
        pass
    for change, message in (
        ({"data": {"training": "b"}}, r"`data\.training` is 'a' in the study .* but 'b' now"),
        ({"seed": 4}, r"`seed` is 3 in the study"),
        ({"objective": "MRR@5"}, r"`objective` is 'Recall@5' in the study"),
        ({"space": SPACE.to_dict()}, r"is 'nothing' in the study .* must be alike: pass what"),
    ):
        with pytest.raises(ValueError, match=message):
            opened(path, settings=SETTINGS | change)
    with opened(path) as study:
        assert study.records() == ()


def test_files_that_are_no_study_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"but there is no folder .* Make it first"):
        opened(tmp_path / "no" / "study.db")
    text = tmp_path / "text.db"
    text.write_text("no database\n" * 100, encoding="utf-8")
    message = r"could not be read or written: .*file is not a database"
    with pytest.raises(OSError, match=message), said_of(text):
        opened(text)
    foreign = tmp_path / "foreign.db"
    with opened(foreign, settings={}):
        pass
    with opened(foreign, settings={}) as study:
        study._study.set_user_attr("settings", None)
        make(study, 1)
    with pytest.raises(ValueError, match="whose trials were not made by `hrec tune`"):
        opened(foreign)


def test_importance_is_of_what_decides_and_is_not_told_from_few_trials(tmp_path):
    rate = "optimizer.learning_rate"
    space = Space({rate: SPACE.searched[rate], "arguments.units": Choices(([5], [8]))})
    with opened(tmp_path / "study.db", space=space, start={}) as study:
        assert study.importance() == (
            None,
            "0 trials are complete, but importance is not told from fewer than 12.",
        )
        random = np.random.default_rng(1)
        for _ in range(40):
            params = {rate: 10 ** random.uniform(-2, 0), "arguments.units": "[5]"}
            if random.random() < 0.5:
                params["arguments.units"] = "[8]"
            trial = optuna.trial.create_trial(
                params=params,
                distributions=space.distributions(),
                value=-abs(np.log10(params[rate]) + 1),
                user_attrs={"place": 0},
            )
            study._study.add_trial(trial)
        found, missing = study.importance()
        assert missing == "" and list(found) == [rate, "arguments.units"]
        assert found[rate] > 0.8 and sum(found.values()) == pytest.approx(1)


def test_locks_are_held_until_they_are_given_back(tmp_path):
    with TrialLocks(tmp_path / "study.db.lock") as locks:
        assert not locks.is_held(0)
        locks.hold(0)
        locks.release(0)
        assert not locks.is_held(0)
        with locks.alone():
            assert not locks.is_held(0), "the lock of who begins is another byte"
