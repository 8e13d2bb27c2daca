"""`hrec`: messages, exit status, and JSON that stands alone on stdout."""

import csv
import html
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hrec_tf import manifest, runs
from hrec_tf.cli import quickstart
from hrec_tf.cli.main import main
from hrec_tf.training import EarlyStopping
from tests.data.datasets import published
from tests.reference.forks import Fork
from tests.reference.tiny_log import OPTIONS, write_ring_log

# Keras reads its variables for the weights file in a way that NumPy 2 will drop.
KERAS_SAVES = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)
SMALL = ["--epochs", "1", "--num-lanes", "4"]


@pytest.fixture
def log(tmp_path):
    return ["--data", str(write_ring_log(tmp_path / "log.csv")), *OPTIONS]


def complaint(capsys, *arguments, status=1):
    """Runs a command that must fail, and returns what it says."""
    assert main([str(argument) for argument in arguments]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--epoch", "3"],
            "`--epoch` is no option of `hrec train`. Did you mean '--epochs'?",
        ),
        (["compare", "--model", "pop"], "Did you mean '--models'?"),
        (["evaluate", "x", "--tie", "standard"], "Did you mean '--ties'?"),
        (["data", "inspect", "x", "--times", "t"], "Did you mean '--timestamp'?"),
        (["trian"], "No such command 'trian'"),
        (["train", "--epochs", "three"], "--epochs"),
        (["evaluate"], "Missing argument"),
    ],
)
def test_wrong_command_line_is_refused_with_the_nearest_name(capsys, arguments, message):
    said = complaint(capsys, *arguments, status=2)
    assert message in said
    assert "--help" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--model", "hrnn-int"], "`model` was 'hrnn-int', but must be one of"),
        (["train", "--data", "online-retial"], "Did you mean 'online-retail'?"),
        (["train", "--min-item-support", "5"], "`min_item_support` was 5, but 'online-retail'"),
        (
            ["train", "--model", "pop", "--epochs", "3"],
            "`epochs` was set for pop, which is counted",
        ),
        (
            ["train", "--model", "pop", "--resume"],
            "`resume` was True, but pop is counted in one go",
        ),
        (
            ["train", "--model", "pop", "--checkpoint-seconds", "5"],
            "`checkpoint_seconds` was 5.0, but pop is counted in one go",
        ),
        (
            ["train", "--model", "pop", "--checkpoint-seconds", "0"],
            "`checkpoint_seconds` was 0.0, but pop is counted in one go",
        ),
        (["train", "--resume", "--out", "nowhere"], "`resume` was set, but there is no unfinished"),
        (["train", "--checkpoint-seconds", "-1"], "`checkpoint_seconds` must be a finite"),
        (["train", "--set", "loss.forms=paper"], "Did you mean 'loss.form'?"),
        (["train", "--set", "loss.form"], "`set` was 'loss.form', but must be key=value"),
        (["train", "--extra", "-5", "--recipe", "nowhere.toml"], "nowhere.toml"),
        (["compare", "--seeds", "0;1"], "`seeds` was '0;1', but must be whole numbers"),
        (["compare", "--models", "pop,pop"], "`models` names 'pop' more than once"),
        (["compare", "--seeds", "0,1,0"], "`seeds` names 0 more than once, but the same seed"),
        (["compare", "--report", "no/where.html"], "but there is no folder 'no'. Make it first"),
        (["compare", "--report", "."], "`report` was '.', which exists, and reports are never"),
        (["compare", "--metric", "Recall@7"], "`metric` was 'Recall@7', but must be one of"),
        (["compare", "--ks", "5,x"], "`ks` was '5,x'"),
        (["evaluate", "nowhere"], "holds no config.toml, so it is no run folder"),
        (["data", "inspect", "nowhere.csv"], "neither a file nor a named log"),
        (["train", "--split", "temporal"], "given as none of them, but `temporal` needs one"),
        (
            ["compare", "--data", "tmall-shan", "--split", "temporal", "--days", "1"],
            "'tmall-shan' has no times, only an order, so it cannot be split at a time. Use",
        ),
        (["train", "--share", "0.1"], "`share` was set for the split 'last_session_out', which"),
    ],
)
def test_what_cannot_be_done_is_said_in_three_parts(capsys, arguments, message):
    said = complaint(capsys, *arguments)
    assert said.startswith("Error: ")
    assert message in said


def test_missing_column_is_named_with_those_there_are(capsys, tmp_path):
    """pitfalls 4: a missing or renamed column."""
    path = write_ring_log(tmp_path / "log.csv")
    said = complaint(capsys, "data", "inspect", path, "--user", "whom")
    assert "whom" in said and "who" in said


def test_inspect_prints_json_alone(capsys, tmp_path):
    path = write_ring_log(tmp_path / "log.csv")
    assert main(["data", "inspect", str(path), *OPTIONS, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_events"], found["num_users"]) == (12 * 6 * 5, 12)
    assert found["protocol"] == "last_session_out"


def test_inspect_and_list_for_people(capsys, tmp_path):
    path = write_ring_log(tmp_path / "log.csv")
    assert main(["data", "inspect", str(path), *OPTIONS]) == 0
    assert "Proposed split: last_session_out" in capsys.readouterr().out
    assert main(["data", "list"]) == 0
    assert "online-retail" in capsys.readouterr().out
    assert main(["data", "list", "--json"]) == 0
    listed = {log["name"]: log for log in json.loads(capsys.readouterr().out)["logs"]}
    assert "hrnn-init" in listed["globo-news"]["recipes"]


def test_a_public_data_set_is_built_and_inspected(capfd, tmp_path):
    files, out = published.write(tmp_path, "retailrocket"), tmp_path / "log.parquet"
    assert main(["data", "build", "retailrocket", "--files", str(files), "--out", str(out)]) == 0
    assert "2 rows of user, item, timestamp, event_type. Written to" in capfd.readouterr().out
    assert main(["data", "inspect", str(out), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["num_events"], found["num_users"]) == (2, 2)
    assert main(["data", "build", "ml_1m", "--files", str(files), "--out", str(out)]) == 1
    assert "neither ml-1m.zip nor ratings.dat" in capfd.readouterr().err


def test_data_sets_that_are_not_built_by_this_command_name_what_is(capsys):
    build = ["--files", "files", "--out", "log.parquet"]
    assert "Use `hrec data build ml_1m`" in complaint(capsys, "data", "build", "movielens", *build)
    told = complaint(capsys, "data", "build", "online_retail/full", *build)
    assert "Pass --data online-retail to the other commands" in told


def test_public_data_sets_are_listed_with_files_and_terms(capsys):
    assert main(["data", "list"]) == 0
    told = capsys.readouterr().out
    assert "`hrec data build` makes logs of those marked (builder)" in told
    assert "ml_1m (builder)\n    MovieLens 1M: ratings of movies" in told
    assert "Fetch by hand: ml-1m.zip, from GroupLens." in told
    assert main(["data", "list", "--json"]) == 0
    listed = {held["name"]: held for held in json.loads(capsys.readouterr().out)["datasets"]}
    assert (listed["yoochoose"]["users"], listed["yoochoose"]["sessions"]) == (False, True)
    assert listed["online_retail"]["origin"] == "bundled"
    assert "Non-commercial use" in listed["lastfm_1k"]["terms"]


def test_a_run_of_the_temporal_split_says_so_wherever_it_is_told_of(capsys, log, tmp_path):
    out = tmp_path / "recent"
    split = ["--split", "temporal", "--share", "0.25"]
    assert main(["train", *log, *split, "--model", "recent-pop", "--out", str(out), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)["metrics"]
    label = "temporal(share=0.25)"
    assert manifest.check(out, kind="run")["split"] == label
    assert dict(runs.load(out).log.split) == {"name": "temporal", "share": 0.25}
    assert f"Split: {label}." in (out / "model_card.md").read_text(encoding="utf-8")
    assert f"split {label}" in (out / "report.html").read_text(encoding="utf-8")
    assert main(["evaluate", str(out), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["split"], again["same_test_sessions"]) == (label, True)
    assert again["metrics"]["num_points"] == trained["num_points"] > 0
    assert main(["evaluate", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"micro average; split {label}\n")


def test_compare_counts_new_users_and_targets_that_were_dropped(capsys, log):
    # The ring's users come one after the other: those of the last quarter are new.
    split = ["--split", "temporal", "--share", "0.25", "--models", "pop,recent-pop"]
    assert main(["compare", *log, *split, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["num_new_users"]) == ("temporal(share=0.25)", 3)
    assert found["unseen_target_share"] == 0.0
    assert [row["recipe"] for row in found["results"]] == ["pop", "recent-pop"]


@pytest.mark.integration
def test_compare_baselines_prints_one_table(capsys, log):
    assert main(["compare", *log, "--models", "pop,s-pop,ppop,item-knn", "--seeds", "0,1"]) == 0
    out = capsys.readouterr().out
    for name in ("POP", "S-POP", "PPOP", "Item-KNN", "Recall@20", "conservative ties"):
        assert name in out
    assert "Coverage" not in out


def test_compare_measures_coverage_where_asked(capsys, log, tmp_path):
    """evaluation 1.5: POP shows 5 of the 20 items. Coverage has no interval over sessions."""
    page = str(tmp_path / "page.html")
    options = ["--models", "pop,item-knn", "--ks", "5", "--coverage", "--report", page]
    assert main(["compare", *log, *options]) == 0
    assert "Coverage@5" in capsys.readouterr().out
    assert "<td>.2500" in Path(page).read_text(encoding="utf-8")


def test_recipes_that_are_averaged_in_different_ways_are_refused(capsys, tmp_path):
    recipes = tmp_path / "own.toml"
    recipes.write_text(
        '[recipes.pop]\nmodel = "pop"\nevaluation = { average = "user" }\n'
        '[recipes.ppop]\nmodel = "ppop"\nevaluation = { ks = [5, 20] }\n'
    )
    arguments = ["compare", "--recipe", recipes, "--models", "pop,ppop"]
    said = complaint(capsys, *arguments)
    assert "`average` is 'micro' in the recipe ppop, but 'user' in pop" in said
    assert "Pass --average to set it for all." in said


@pytest.mark.integration
def test_compare_writes_a_report_with_the_command_that_makes_it(capsys, log, tmp_path, monkeypatch):
    page = tmp_path / "a b.html"
    options = ["--models", "pop,item-knn", "--keep-repeats", "--ks", "1,5", "--report", str(page)]
    assert main(["compare", *log, *options, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert f"Written to {page}." in printed.err
    text = page.read_text(encoding="utf-8")
    recall = f"{found['results'][1]['metrics']['Recall@5']['mean']:.4f}".removeprefix("0")
    assert f"<td><strong>{recall}</strong>" in text
    command = html.unescape(re.search("<code>(.*)</code>", text)[1])
    page.unlink()
    # It names files without their folders.
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(command)[1:], "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert [row["metrics"] for row in again["results"]] == [
        row["metrics"] for row in found["results"]
    ]


def test_existing_run_folder_is_refused_before_training(capsys, log, tmp_path):
    said = complaint(capsys, "train", *log, "--out", tmp_path)
    assert "which exists, and runs are never overwritten" in said


@pytest.mark.integration
def test_a_plan_trains_nothing(capsys, log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--set", "num_lanes=4"]
    assert main(["train", *log, "--model", "hrnn-init", *small, "--plan", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["model"] == "hrnn-init"
    assert planned["pairs_per_second"] > 0
    assert not (tmp_path / "runs").exists()
    said = complaint(capsys, "train", *log, "--plan", "--out", tmp_path / "run")
    assert "`--plan` trains nothing, so it would be ignored" in said


def test_train_and_evaluate_a_baseline(capsys, log, tmp_path):
    out = tmp_path / "runs" / "knn"
    assert main(["train", *log, "--model", "item-knn", "--out", str(out), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)["metrics"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "hrec train --model item-knn --seed 0 --out knn --data log.csv" in page
    # What is handed on tells nothing of the machine's folders.
    for text in (page, (out / "model_card.md").read_text(encoding="utf-8")):
        assert str(tmp_path) not in text
    assert main(["evaluate", str(out), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["metrics"]
    assert again == {k: v for k, v in trained.items() if k != "training_seconds"}
    assert main(["evaluate", str(out), "--ks", "1", "--ties", "standard", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["ties"] == "standard"


@pytest.mark.parametrize(
    ("flags", "drops"), [([], True), (["--drop-repeats"], True), (["--keep-repeats"], False)]
)
def test_a_boolean_means_what_it_says(capsys, log, tmp_path, flags, drops):
    """pitfalls 1.13: booleans of a command line that were always true."""
    out = tmp_path / "pop"
    assert main(["train", *log, *flags, "--model", "pop", "--out", str(out), "--json"]) == 0
    held = runs.load(out)
    assert held.log.preparation.get("drop_repeats", True) is drops
    assert not held.validation


def test_an_interrupted_run_leaves_nothing(capsys, log, tmp_path, monkeypatch):
    """pitfalls 4: a run that is stopped while it trains."""

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("hrec_tf.fitting.train", interrupted)
    out = tmp_path / "runs" / "pop"
    said = complaint(capsys, "train", *log, "--model", "pop", "--out", out, status=130)
    assert said == "Interrupted; no result was written.\n"
    assert not out.parent.exists()


def test_evaluate_refuses_a_log_that_changed(capsys, log, tmp_path):
    out = tmp_path / "runs" / "pop"
    assert main(["train", *log, "--model", "pop", "--out", str(out)]) == 0
    capsys.readouterr()
    text = (tmp_path / "log.csv").read_text()
    (tmp_path / "log.csv").write_text(text.replace(",i7,", ",other,"))
    assert "now has 20 items, which are not the 20 that" in complaint(capsys, "evaluate", out)


def test_evaluate_says_that_the_test_sessions_changed(capsys, log, tmp_path):
    out = tmp_path / "runs" / "pop"
    assert main(["train", *log, "--model", "pop", "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["same_test_sessions"] is True
    assert "Note" not in printed.err
    lines = (tmp_path / "log.csv").read_text().splitlines()
    fields, before = lines[-1].split(","), lines[-2].split(",")
    place = lines[0].split(",").index("what")
    fields[place], before[place] = before[place], fields[place]
    (tmp_path / "log.csv").write_text("\n".join([*lines[:-2], ",".join(before), ",".join(fields)]))
    assert main(["evaluate", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["same_test_sessions"] is False
    assert "are not those that metrics.json of the run was taken on" in printed.err


@KERAS_SAVES
@pytest.mark.integration
def test_train_and_evaluate_a_model_with_equal_metrics(capsys, log, tmp_path):
    out = tmp_path / "runs" / "hrnn"
    options = ["--model", "hrnn-init", *SMALL, "--validation", "--out", str(out)]
    assert main(["train", *log, *options, "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)["metrics"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Validation: Recall@20 per epoch" in page and "--validation" in page
    assert main(["evaluate", str(out), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["metrics"]
    assert again == {k: v for k, v in trained.items() if k != "training_seconds"}
    assert "val_recall@20" in (out / "history.csv").read_text()
    assert runs.load(out).validation


NARM = ["--model", "narm", "--epochs", "20", "--patience", "1", "--batch-size", "16"]
NARM += ["--ks", "1,3"]
NARM += [p for size in ("item_dim=4", "units=4") for p in ("--set", f"arguments.{size}")]


@KERAS_SAVES
@pytest.mark.integration
def test_a_training_that_validation_ends_leaves_its_best_epoch(capsys, log, tmp_path, monkeypatch):
    """Interrupted and gone on with, it is the run that was never interrupted."""
    command = ["train", *log, *NARM, "--checkpoint-seconds", "0", "--json", "--out"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    with (tmp_path / "whole" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = [float(row["val_recall@3"]) for row in rows]
    assert metrics["best_epoch"] == values.index(max(values)) + 1
    assert metrics["epochs"] == len(values) == metrics["best_epoch"] + 1 < 20
    run = runs.load(tmp_path / "whole")
    assert run.validation and run.recipe.patience == 1
    card = (tmp_path / "whole" / "model_card.md").read_text(encoding="utf-8")
    assert "to the one with the best validation Recall (patience 1)" in card

    def interrupt(self, epoch, logs=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(EarlyStopping, "on_train_end", interrupt)
        assert main([*command, str(tmp_path / "again")]) == 130
    assert main([*command, str(tmp_path / "again"), "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)["metrics"]
    assert again == metrics | {"training_seconds": again["training_seconds"]}
    assert main(["evaluate", str(tmp_path / "again"), "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)["metrics"]
    assert evaluated["Recall@3"] == metrics["Recall@3"]


@pytest.mark.integration
def test_compare_tells_the_best_epochs(capsys, log):
    command = ["compare", *log, "--models", "narm,item-knn", *NARM[2:]]
    assert main([*command, "--json"]) == 0
    narm, knn = json.loads(capsys.readouterr().out)["results"]
    assert len(narm["best_epochs"]) == 1 and "best_epochs" not in knn
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"whose weights were tested: NARM {narm['best_epochs'][0]}." in said


@pytest.mark.integration
def test_all_commands_draw_sasrecs_candidates_alike(capsys, tmp_path):
    """Of what the user has not in training, which each of them must tell the evaluation."""
    items = np.random.default_rng(0).integers(0, 12, 240)
    rows = [f"u{event // 6},i{item},{event * 60}" for event, item in enumerate(items)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user,item,timestamp", *rows]) + "\n", encoding="utf-8")
    log = ["--data", str(path), "--split", "leave_one_out", "--min-user-sessions", "1"]
    drawn = ["--sampled-negatives", "4", "--sampling", "sasrec", "--ks", "1,2"]
    run = str(tmp_path / "run")

    def told(*command):
        assert main([*command, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    [compared] = told("compare", *log, "--models", "pop", *drawn)["results"]
    trained = told("train", *log, "--model", "pop", *drawn, "--out", run)["metrics"]
    evaluated = told("evaluate", run)["metrics"]
    names = [name for name in evaluated if name.startswith(("Recall", "MRR"))]
    assert len(names) == 4
    for name in names:
        assert evaluated[name] == trained[name] == compared["metrics"][name]["mean"]


@pytest.mark.integration
def test_compare_models_over_seeds_as_json(capsys, log):
    models = ["--models", "item-knn,gru4rec", "--seeds", "0,1"]
    assert main(["compare", *log, *models, *SMALL, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    knn, gru = found["results"]
    assert knn["metrics"]["Recall@5"]["sd"] == 0
    assert gru["epochs"] == 1 and gru["training_seconds"] > 0
    assert 0 <= gru["against_best_baseline"]["p_holm"] <= 1


@pytest.mark.integration
def test_help_and_inspection_come_without_tensorflow(tmp_path):
    path = write_ring_log(tmp_path / "log.csv")
    code = (
        "import sys; from hrec_tf.cli.main import main\n"
        f"assert main(['data', 'inspect', {str(path)!r}, *{OPTIONS!r}]) == 0\n"
        "assert main(['--help']) == 0\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


@pytest.mark.xdist_group("forks")
@pytest.mark.integration
def test_progress_goes_to_stderr_and_the_status_is_that_of_the_process(tmp_path):
    path = write_ring_log(tmp_path / "log.csv")
    # What takes less than two seconds shows nothing, and on a fast machine nothing here does.
    at_once = (
        "import sys; from hrec_tf.cli import console, main; from hrec_tf import training\n"
        "console.QUIET_SECONDS = 0.0\n"
        "training.TrainingProgress.__init__.__kwdefaults__['after'] = 0.0\n"
        "sys.exit(main.main())"
    )
    arguments = ["compare", "--data", str(path), *OPTIONS, "--models", "gru4rec", "--json"]
    status, out, err = Fork(at_once, [*arguments, "--num-lanes", "2"]).finished()
    assert status == 0, err
    assert json.loads(out)["seeds"] == [0]
    assert "training gru4rec (seed 0)" in err
    assert "loss" in err
    hrec = [sys.executable, "-m", "hrec_tf.cli.main"]
    failed = subprocess.run([*hrec, "evaluate", "nowhere"], capture_output=True, text=True)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("Error: 'nowhere' holds no config.toml")


@pytest.mark.integration
@KERAS_SAVES
def test_quickstart_compares_exports_and_serves(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["quickstart", "--epochs", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [row["recipe"] for row in found["results"]]
    assert names == ["pop", "s-pop", "ppop", "item-knn", "gru4rec", "hrnn-init"]
    assert found["num_points"] == 22_281
    recall = {row["recipe"]: row["metrics"]["Recall@20"]["mean"] for row in found["results"]}
    assert recall["hrnn-init"] > recall["ppop"] > recall["pop"]
    assert found["report"] == "runs/quickstart/report.html"
    assert "</html>" in Path(found["report"]).read_text(encoding="utf-8")
    assert runs.load(found["run"]).recipe.model in ("gru4rec", "hrnn-init")
    assert manifest.check(found["artefact"], kind="saved_model")["k"] == 20
    known, new, nobody = found["served"]
    assert [len(answer["recommended"]) for answer in found["served"]] == [5, 5, 5]
    assert known["asked"][-2:] == new["asked"]
    # The three most frequent items of the training log, for somebody of whom nothing is known.
    top = [row["item"] for row in nobody["recommended"][:3]]
    assert top == ["85123A", "85099B", "22423"]
    seen = {item for item, _ in known["asked"]}
    assert not seen & {row["item"] for row in known["recommended"]}
    # The next one goes into a folder of its own.
    assert quickstart._new_folder(None) == Path("runs/quickstart-2")
    assert main(["quickstart", "--out", "runs"]) == 1
    assert "`out` was 'runs', which exists" in capsys.readouterr().err
