"""docs/results.md is what the records say, and a record that is not sound is refused."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import by_seed, log_cautions, measure, published, recommending, report
from benchmarks.records import as_json, metrics_of, read, write
from hrec_tf.recipe import Recipe

RECORD = {
    "dataset": "online-retail",
    "protocol": "last_session_out, full ranking, conservative ties",
    "model": "item-knn",
    "recipe": "item-knn",
    "metric": "Recall@5",
    "mean": 0.274,
    "sd": 0.0,
    "seeds": 3,
    "published": None,
    "command": "python -m benchmarks.measure --data online-retail --models item-knn --seeds 0,1,2",
    "version": "0.1.0",
}


@pytest.mark.integration
def test_page_is_what_the_records_say():
    assert report.REPORT.read_text(encoding="utf-8") == report.report(), (
        "run: python -m benchmarks.report"
    )


def test_records_are_kept_one_per_line():
    text = report.RESULTS.read_text(encoding="utf-8")
    assert text == as_json(json.loads(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": 27.4}, r"record 0: `mean` of Recall@5 was 27.4, but must be a fraction"),
        ({"mean": "0.274"}, r"`mean` was '0.274', but must be float or int"),
        ({"dataset": "retail"}, r"record 0: dataset.*Did you mean 'online-retail'"),
        ({"model": "itm-knn"}, r"record 0: model.*Did you mean 'item-knn'"),
        ({"recipe": "itm-knn"}, r"record 0: recipe.*Did you mean 'item-knn'"),
        ({"metric": "recall@5"}, r"record 0: metric.*Did you mean 'Recall@5'"),
        ({"seeds": 1}, r"`sd` was 0.0 over 1 seeds, but one seed has no sd"),
        ({"sd": None}, r"`sd` was None over 3 seeds"),
        ({"note": "x"}, r"record 0: key"),
    ],
)
def test_a_record_that_is_not_sound_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        report.checked([RECORD | change])


def test_a_record_may_lack_nothing_and_stand_once():
    short = {key: value for key, value in RECORD.items() if key != "command"}
    with pytest.raises(ValueError, match="`command` was None, but must be str"):
        report.checked([short])
    with pytest.raises(ValueError, match="record 1 repeats"):
        report.checked([RECORD, RECORD])


def test_page_sets_reference_code_beside_ours():
    records = [RECORD, RECORD | {"metric": "MRR@5", "mean": 0.18, "sd": 0.002}]
    reference = {
        "dataset": "online-retail",
        "software": "NumPy and SciPy",
        "setting": "Item-KNN",
        "recipe": "item-knn",
        "ties": "conservative",
        "metric": "MRR@5",
        "mean": 0.1762,
        "sd": None,
        "seeds": 1,
    }
    page = report.to_markdown(report.checked(records), report.checked_references([reference]))
    assert "| Item-KNN | .2740 | .1800 ± .0020 | – | – |  |  |" in page
    assert "| Item-KNN (NumPy and SciPy, conservative ties) |  | .1762 → .1800 ± .0020 |" in page
    assert f"{RECORD['command']}  # 0.1.0" in page
    other_ties = report.checked_references([reference | {"ties": "standard"}])
    assert "Beside reference code" not in report.to_markdown(records, other_ties)


def test_a_table_of_drawn_items_says_what_that_means():
    full = report.to_markdown(report.checked([RECORD]), [])
    protocol = RECORD["protocol"].replace("full ranking", "100 sampled (strict)")
    drawn = report.to_markdown(report.checked([RECORD | {"protocol": protocol}]), [])
    assert "metrics are far higher than among all items" in drawn
    assert "metrics are far higher" not in full


def test_lists_per_second_stand_where_a_training_was_measured_without(tmp_path, monkeypatch):
    own = RECORD | {"metric": "lists_per_second", "mean": 123.0, "sd": None, "seeds": 1}
    other = RECORD | {"recipe": "pop", "model": "pop"}
    held = {"command": "python -m it", "machine": "a CPU"}
    held["lists_per_second"] = {"item-knn": 456.0, "pop": 7_890.0}
    path = tmp_path / "lists_per_second.json"
    path.write_text(json.dumps({RECORD["dataset"]: held}), encoding="utf-8")
    monkeypatch.setattr(recommending, "SPEEDS", path)
    page = report.to_markdown([RECORD, own, other], [])
    rows = {line.split(" | ")[0]: line for line in page.splitlines() if line.startswith("| ")}
    assert " | 123 |" in rows["| Item-KNN"]
    assert " | 7,890 |" in rows["| POP"]
    assert "python -m it  # a CPU" in page


def test_fewer_epochs_than_the_recipe_has_are_told():
    short = RECORD | {"recipe": "hrnn-init", "model": "hrnn-init", "sd": 0.1}
    page = report.to_markdown(
        [RECORD, short | {"command": "measure --models hrnn-init --epochs 1 --seeds 0,1,2"}], []
    )
    epochs = Recipe.for_data(RECORD["dataset"], "hrnn-init").epochs
    assert f"Fewer epochs than the recipe has, for time: 1 of {epochs} (hrnn-init). More" in page
    assert "Fewer epochs" not in report.to_markdown([RECORD, short], [])


def test_a_best_epoch_that_was_the_last_is_told():
    whole = Recipe.for_data(RECORD["dataset"], "hrnn-meta").epochs
    best = {"recipe": "hrnn-meta", "model": "hrnn-meta", "metric": "best_epoch"}

    def page(mean, sd):
        return report.to_markdown([RECORD, RECORD | best | {"mean": mean, "sd": sd}], [])

    assert f"Best at the last epoch that the recipe has: hrnn-meta ({whole}). " in page(whole, 0.0)
    assert "Best at the last epoch" not in page(whole - 1.0, 0.0) + page(whole, 1.0)


def test_who_knows_when_the_next_event_comes_is_told():
    told = RECORD | {"recipe": "hrnn-meta", "model": "hrnn-meta", "sd": 0.1}
    said = "Told when the event to be predicted comes, as the others are not: hrnn-meta."
    assert said in report.to_markdown([RECORD, told], [])
    assert "Told when" not in report.to_markdown([RECORD], [])


def test_flaws_of_a_log_stand_above_its_tables():
    found = log_cautions.found(["online-retail"])["online-retail"]
    assert log_cautions.kept("online-retail") == found and len(found) == 4
    assert "987 sessions of training, the last of each user, were held back" in found[3]
    above, _, _ = report.to_markdown([RECORD], []).partition("| Item-KNN")
    assert all(f"\n- {sentence}\n" in above for sentence in found)


def test_another_split_has_tables_of_its_own():
    own = [RECORD, RECORD | {"metric": "MRR@5", "mean": 0.18}]
    other = {
        "protocol": "temporal(days=30), full ranking, conservative ties",
        "mean": 0.1111,
        "command": RECORD["command"].replace("item-knn ", "item-knn --split temporal --days 30 "),
    }
    reference = {
        "dataset": "online-retail",
        "software": "NumPy and SciPy",
        "setting": "Item-KNN",
        "recipe": "item-knn",
        "ties": "conservative",
        "metric": "Recall@5",
        "mean": 0.274,
        "sd": None,
        "seeds": 1,
    }
    records = report.checked([RECORD | other, *own])
    page = report.to_markdown(records, [reference])
    first, second = page.split("### online-retail, temporal(days=30)\n")
    assert "| Item-KNN | .2740 | .1800 | – | – |  |  |" in first
    assert ".2740 → .2740" in first and "--split" not in first and ".1111" not in first
    assert "| Item-KNN | .1111 | – | – | – |  |  |" in second and ".2740" not in second
    assert second.count("--split temporal --days 30") == 1
    alone = report.to_markdown([RECORD | other], [reference])
    assert "→" not in alone.split("## online-retail")[1]


def test_a_published_number_stands_beside_the_logs_own_split_alone():
    where = "citeulike-hcrnn", "full ranking, standard ties", "pop", "Recall@20"
    own = published.value(where[0], f"given, {where[1]}", *where[2:])
    assert own == 0.0578
    assert published.value(where[0], f"temporal(days=9), {where[1]}", *where[2:]) is None


SEED = {
    **{key: RECORD[key] for key in ("dataset", "protocol", "model", "recipe", "version")},
    "seed": 0,
    "values": {"Recall@5": 0.25, "MRR@5": 0.125, "tie_share": 0.5, "training_seconds": 9.0},
    "command": "python -m benchmarks.measure --data online-retail --models item-knn --seeds 0",
}


def seed(number, recall=0.25, **changes):
    values = SEED["values"] | {"Recall@5": recall}
    command = SEED["command"][:-1] + str(number)
    return SEED | {"seed": number, "values": values, "command": command} | changes


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "results.json", tmp_path / "results_by_seed.json"


def test_means_follow_from_the_seeds(paths):
    """evaluation 5.2: mean and sample standard deviation over seeds."""
    by_seed.keep(*paths, [seed(0, 0.25)])
    (first, *_) = read(paths[0])
    assert (first["mean"], first["sd"], first["seeds"]) == (0.25, None, 1)
    by_seed.keep(*paths, [seed(2, 0.75)])
    by_seed.keep(*paths, [seed(1, 0.5)])
    first, *others = read(paths[0])
    assert first == RECORD | {"mean": 0.5, "sd": 0.25}
    assert [record["metric"] for record in others] == ["MRR@5", "tie_share", "training_seconds"]
    assert report.checked([first, *others])


def test_what_was_there_stays_where_it_is(paths):
    other = RECORD | {"recipe": "pop", "model": "pop"}
    write(paths[0], [RECORD, other])
    by_seed.keep(*paths, [seed(0, 0.3)])
    by_seed.keep(*paths, [seed(0, 0.4)])
    assert [record["mean"] for record in read(paths[0])] == [0.4, 0.274, 0.125, 0.5, 9.0]
    assert len(paths[1].read_text().splitlines()) == 3
    assert len(paths[0].read_text().splitlines()) == 7


def test_seeds_of_another_command_give_way(paths):
    by_seed.keep(*paths, [seed(0), seed(1)])
    command = SEED["command"].replace(" --seeds 0", " --epochs 2 --seeds 2")
    by_seed.keep(*paths, [seed(2, command=command)])
    assert [record["seed"] for record in read(paths[1])] == [2]
    assert read(paths[0])[0]["command"] == command


@pytest.mark.integration
def test_two_writers_lose_nothing(paths):
    def write_some(numbers):
        for number in numbers:
            by_seed.keep(*paths, [seed(number, number / 100)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_some, [range(first, 24, 4) for first in range(4)]))
    assert {record["seed"] for record in read(paths[1])} == set(range(24))
    assert read(paths[0])[0]["seeds"] == 24
    assert len(list(paths[0].parent.iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": {"Recall@5": 25.0}}, r"seed record 0: `values` of Recall@5 was 25.0, but must"),
        ({"values": {"Recall@3": 0.25}}, r"seed record 0: metric` was 'Recall@3'"),
        ({"recipe": "itm-knn"}, r"recipe.*Did you mean 'item-knn'"),
        ({"seed": "0"}, r"`seed` was '0', but must be int"),
        ({"seeds": 1}, r"seed record 0: key"),
    ],
)
def test_a_seed_that_is_not_sound_is_refused(change, message, paths):
    with pytest.raises(ValueError, match=message):
        by_seed.keep(*paths, [SEED | change])
    with pytest.raises(ValueError, match="seed record 1 repeats"):
        by_seed.checked([SEED, SEED])
    assert not paths[0].exists() and not paths[1].exists()


def arguments(paths, *more):
    return ["--data", "online-retail", "--models", "item-knn", "--record", str(paths[0]), *more]


def test_a_mean_without_its_values_is_held_and_cannot_be_extended(paths, capsys):
    write(paths[0], [RECORD, RECORD | {"protocol": RECORD["protocol"].replace("cons", "x")}])
    assert measure.main(arguments(paths, "--ties", "conservative", "--seeds", "0,2")) == 0
    assert capsys.readouterr().out == "online-retail item-knn: held already\n"
    more = ("--ranks", str(paths[0].parent)), ("--serving",), ("--seeds", "3")
    for asked in more:
        with pytest.raises(
            ValueError, match=r"`seeds` was .*, but the mean of item-knn on online-"
        ):
            measure.main(arguments(paths, "--ties", "conservative", "--seeds", "0,2", *asked))


def test_other_settings_are_not_mixed_in(paths):
    by_seed.keep(
        *paths, [seed(0, command=SEED["command"].replace(" --seeds", " --epochs 1 --seeds"))]
    )
    with pytest.raises(ValueError, match="--seeds 0' differs by more than the seed from what s"):
        measure.main(arguments(paths, "--seeds", "1"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "temporal"), "given as none of them, but `temporal` needs one"),
        (("--days", "1"), "`days` was set for the split 'last_session_out', which would ignore"),
    ],
)
def test_a_split_that_cannot_be_is_refused_before_the_work(paths, options, message):
    with pytest.raises(ValueError, match=message):
        measure.main(arguments(paths, *options))


def test_lists_are_as_long_as_the_protocol_says():
    assert metrics_of("online-retail") == ("Recall@5", "MRR@5", "Recall@20", "MRR@20")
    assert metrics_of("citeulike-hcrnn") == ("Recall@3", "MRR@3", "Recall@20", "MRR@20")


@pytest.mark.integration
def test_measuring_is_recorded_and_passed_over_the_second_time(paths, capsys):
    assert measure.main(arguments(paths, "--seeds", "0,1")) == 0
    records = report.checked(read(paths[0]))
    # Four metrics, ties and seconds; conservative and standard ties.
    assert len(records) == 2 * 6
    found = {r["metric"]: r["mean"] for r in records if "conservative" in r["protocol"]}
    # docs/reference_numbers.json has these, from other code.
    assert (round(found["Recall@5"], 4), round(found["MRR@20"], 4)) == (0.274, 0.1876)
    assert records[0]["command"].endswith("--data online-retail --models item-knn --seeds 0,1")
    capsys.readouterr()
    assert measure.main(arguments(paths, "--seeds", "0,1")) == 0
    assert capsys.readouterr().out == "online-retail item-knn: held already\n"
    ranks = paths[0].parent / "ranks"
    given = arguments(paths, "--seeds", "0,1", "--ranks", str(ranks))
    assert measure.main(given) == 0
    assert [path.stem for path in sorted(ranks.rglob("*.npz"))] == ["0", "1"]
    assert "seed 0,1: " in capsys.readouterr().out
    assert measure.main(given) == 0
    assert capsys.readouterr().out == "online-retail item-knn: held already\n"
    assert measure.main(arguments(paths, "--seeds", "1,4")) == 0
    assert [record["seeds"] for record in read(paths[0])] == [3] * 12


@pytest.mark.integration
def test_measuring_another_split_is_recorded_as_such(paths):
    split = ("--models", "pop,recent-pop", "--split", "temporal", "--days", "30")
    assert measure.main(arguments(paths, *split, "--seeds", "0")) == 0
    records = report.checked(read(paths[0]))
    assert {r["protocol"] for r in records} == {
        f"temporal(days=30), full ranking, {ties} ties" for ties in ("conservative", "standard")
    }
    command = "--data online-retail --models recent-pop --split temporal --days 30 --seeds 0"
    assert records[-1]["command"] == f"python -m benchmarks.measure {command}"
    recall = {r["recipe"]: r["mean"] for r in records if r["metric"] == "Recall@20"}
    assert recall["recent-pop"] > recall["pop"] > 0
