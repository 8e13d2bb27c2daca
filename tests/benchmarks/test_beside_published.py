"""Published numbers: written down once, beside ours only where they are of the same data."""

import pytest

from benchmarks import by_seed, published, report
from benchmarks.records import metrics_of, read

CITEULIKE, MOVIELENS = "citeulike-hcrnn", "movielens-hcrnn-sequences"
SPLITS = {CITEULIKE: "given", MOVIELENS: "by_users"}
METRICS = metrics_of(CITEULIKE)


def seeds(recipe, recalls, *, dataset=CITEULIKE, ties="standard", model=None):
    """Records of a recipe, one for each Recall@20; the other metrics follow from it."""
    return [
        {
            "dataset": dataset,
            "protocol": f"{SPLITS[dataset]}, full ranking, {ties} ties",
            "model": model or recipe,
            "recipe": recipe,
            "seed": number,
            "values": {
                **dict(zip(METRICS, (recall / 4, recall / 8, recall, recall / 5), strict=True)),
                "tie_share": 0.0,
                "training_seconds": 10.0,
                "epochs": 30 + number,
                "best_epoch": 20 + number,
            },
            "command": by_seed.command_of(dataset, recipe, [number]),
            "version": "0.1.0",
        }
        for number, recall in enumerate(recalls)
    ]


@pytest.fixture
def page(tmp_path):
    def write(*recipes):
        paths = tmp_path / "results.json", tmp_path / "results_by_seed.json"
        by_seed.keep(*paths, [record for recipe in recipes for record in recipe])
        records = report.checked(read(paths[0]))
        return report.to_markdown(records, [], by_seed.checked(read(paths[1])))

    return write


@pytest.mark.parametrize(
    ("data", "improvements"),
    [
        ("CiteULike", (11.47, 3.99, 12.71, 10.69)),
        ("LastFM", (19.67, 3.57, 9.34, 12.80)),
        ("MovieLens", (4.27, 1.23, 4.76, 3.14)),
    ],
)
def test_the_table_is_the_published_one(data, improvements):
    """evaluation 6.2: the paper's last row follows from the others, if they are copied well."""
    (table,) = (table for table in published.tables() if table["published_as"] == data)
    best = {row["recipe"]: row["values"] for row in table["rows"]}[table["tested"]]
    metrics = ("Recall@3", "Recall@20", "MRR@3", "MRR@20")
    for metric, improvement in zip(metrics, improvements, strict=True):
        rival = max(row["values"][metric] for row in table["rows"] if row["baseline"])
        assert 100 * (best[metric] / rival - 1) == pytest.approx(improvement, abs=0.005)


def test_rows_that_cannot_be_are_marked():
    """evaluation 6.2: a hit beyond rank 3 gives a quarter at the most."""
    for table in published.tables():
        if not table["source"].startswith("Song"):
            continue
        for row in table["rows"]:
            v = row["values"]
            bound = v["MRR@3"] + (v["Recall@20"] - v["Recall@3"]) / 4
            assert (v["MRR@20"] > bound + 0.0002) == (row["note"] != ""), row["name"]


def test_ours_stand_beside_the_published_rows(page):
    text = page(seeds("gru4rec-prefix", [0.24, 0.26]), seeds("pop", [0.0578] * 3))
    assert "| GRU4REC | .0837 → .0625 ± .0035 (-.0212) |" in text
    assert "| .2419 → .2500 ± .0141 (+.0081) |" in text
    assert "| POP | .0144 → .0144 (.0000) |" in text
    assert "Item-KNN is not compared: No method can have it" in text
    assert "Not measured: S-POP, Item-KNN, BPR-MF, LSTM4REC, NARM, STAMP, HCRNN-1," in text
    assert (
        "| model | Recall@3 | MRR@3 | Recall@20 | MRR@20 | ties | training | best epoch | seeds"
        in text
    )
    assert "| 0.0% | 10.0 s | 20.5 ± 0.7 | 2 |" in text


def test_conservative_ties_are_not_those_of_the_table(page):
    text = page(seeds("narm", [0.24, 0.26], ties="conservative"))
    assert "published →" not in text


def test_the_best_baseline_is_tested_as_the_paper_does(page):
    """evaluation 5.2: Student's t over runs, Holm-corrected; t = .02 / sqrt(.0002)."""
    text = page(
        seeds("hcrnn-3-bi", [0.25, 0.27]),
        seeds("hcrnn-3", [0.29, 0.31]),
        seeds("stamp-2018", [0.23, 0.25], model="stamp"),
        seeds("narm", [0.23, 0.24]),
    )
    head = "HCRNN-3+Bi against STAMP (stamp-2018), the best baseline by mean Recall@20: Student's"
    assert f"{head} t-test over 2 and 2 seeds" in text
    assert "| difference of means | +.0050 | +.0025 | +.0200 | +.0040 |" in text
    assert "| t | 1.41 | 1.41 | 1.41 | 1.41 |" in text
    # With 2 degrees of freedom p = 1 - t / sqrt(t² + 2).
    assert "| p | .2929 | .2929 | .2929 | .2929 |" in text
    assert "| p, Holm over 4 | 1.0000 |" in text


def test_one_seed_is_neither_compared_nor_tested(page):
    """evaluation 5.2: never compare a single seed with a published mean."""
    text = page(seeds("hcrnn-3-bi", [0.25]), seeds("narm", [0.23, 0.24]))
    assert "Not compared, since one seed is no mean: HCRNN-3+Bi." in text
    assert "| HCRNN-3+Bi | .0933" not in text and "| NARM | .0781 →" in text
    assert "HCRNN-3+Bi against NARM, the best baseline by mean Recall@20, is not tested: it" in text


def test_other_data_stands_apart(page):
    """evaluation 7: never in one table with a published number without a header between."""
    text = page(seeds("narm", [0.3, 0.32], dataset=MOVIELENS))
    ours, header, theirs = text.partition(f"### Published, on other data than {MOVIELENS}")
    assert "→" not in text.partition("## movielens")[2]
    assert "| NARM | .0775 ± .0035 |" in ours and "Not measured: POP, S-POP" in ours
    assert "Not comparable with the numbers above: The training people of this split" in theirs
    assert "| NARM | .0914 | .0609 | .3342 | .0893 |" in theirs
    assert header


def test_hi_rnn_stands_apart_from_what_its_paper_has_on_other_data():
    """evaluation 6.4: one number is known in text, and none of Steam."""
    text = report.report()
    part = text.partition("\n## ml-1m-part\n")[2].partition("\n## ")[0]
    ours, _, theirs = part.partition("### Published, on other data than ml-1m-part")
    assert "100 sampled (strict)" in ours
    assert "| Hi-RNN | .7800 | – | – | – |" in theirs
    assert "Ours is half of its users" in theirs
    assert "For Steam it has none." in theirs


ROW = {"name": "NARM", "recipe": "narm", "baseline": True, "values": {"MRR@3": 0.1}, "note": ""}
TABLE = {
    "source": "A paper",
    "published_as": "Its data",
    "dataset": CITEULIKE,
    "comparable": True,
    "note": "",
    "ties": "standard",
    "tested": "hcrnn-3-bi",
    "rows": [ROW],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"comparable": False},
            r"published table 0: `note` was empty, but the table is not compar",
        ),
        ({"tested": "hcrnn3"}, r"published table 0: tested.*Did you mean 'hcrnn-3'"),
        ({"rows": [ROW | {"recipe": "nram"}]}, r"recipe.*Did you mean 'narm'"),
        ({"rows": [ROW | {"values": {"MRR@5": 0.1}}]}, r"metric` was 'MRR@5'"),
        ({"rows": [ROW | {"values": {"MRR@3": 10.0}}]}, r"`values` of MRR@3 was 10.0, but must be"),
        ({"rows": [{"name": "NARM"}]}, r"published table 0, NARM: `recipe` was None, but must be"),
    ],
)
def test_a_table_that_is_not_sound_is_refused(change, message):
    assert published.checked([TABLE])
    with pytest.raises(ValueError, match=message):
        published.checked([TABLE | change])


def test_a_record_has_the_published_number_that_is_written_down(tmp_path):
    paths = tmp_path / "results.json", tmp_path / "results_by_seed.json"
    by_seed.keep(*paths, seeds("narm", [0.24]))
    (record, *_) = read(paths[0])
    assert record["published"] == 0.0781
    with pytest.raises(
        ValueError, match=r"`published` was 0.5, but published_numbers.json has 0.0"
    ):
        report.checked([record | {"published": 0.5}])
