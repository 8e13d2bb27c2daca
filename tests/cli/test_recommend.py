"""`hrec recommend`: histories from the shell and from files, and what is wrong with them."""

import io
import json
import sys

import pytest

from hrec_tf.cli.main import main
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.models import HRNN
from hrec_tf.recommender import Recommender

# Keras reads its variables for the weights file in a way that NumPy 2 will drop.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)
TEXTS = ["tea", "jam", "rum", "gin, dry", "user@home", "42"]
NOON = 1_700_000_000


def saved(folder, raw_ids, **options):
    model = HRNN(num_items=6, session_units=4, user_units=3, seed=0)
    recommender = Recommender(model, Vocabulary(raw_ids, [9, 5, 5, 4, 2, 1]), **options)
    return recommender, str(recommender.save(folder))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A recommender of text ids, and its folder."""
    folder = tmp_path_factory.mktemp("saved") / "texts"
    return saved(folder, TEXTS, descriptions={"rum": "from Jamaica"})


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("saved") / "numbers", [7, 70, 0, -3, 10**12, 5])


def said(capsys, *arguments):
    assert main(["recommend", *arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr()


def listed(capsys, *arguments):
    """Each user's items."""
    answers = json.loads(said(capsys, *arguments, "--json").out)["answers"]
    return {
        answer["user"]: [row["item"] for row in answer["recommendations"]] for answer in answers
    }


def items(found):
    return [item for item, _ in found]


@pytest.mark.parametrize("gap", [60, 90_000])
def test_times_of_the_shell_cut_sessions(capsys, texts, gap):
    recommender, folder = texts
    found = listed(capsys, folder, "--history", f"tea@{NOON},jam@{NOON + gap}", "--k", "3")
    events = [("tea", NOON), ("jam", NOON + gap)]
    assert found == {None: items(recommender.recommend(events, k=3))}


def test_a_list_has_ranks_scores_and_descriptions(capsys, texts):
    recommender, folder = texts
    lines = said(capsys, folder, "--history", "tea,jam", "--k", "6").out.splitlines()
    wanted = recommender.recommend(["tea", "jam"], k=6)
    assert len(lines) == len(wanted) == 4, "both items of the history are left out"
    for rank, (line, (item, score)) in enumerate(zip(lines, wanted, strict=True), start=1):
        assert line.startswith(f"{rank:3}  {item} ")
        assert f"{score:.4f}" in line
        assert line.endswith("from Jamaica") == (item == "rum")


def test_seen_items_and_candidates(capsys, texts):
    _, folder = texts
    history = ["--history", "tea,jam", "--k", "6"]
    assert set(listed(capsys, folder, *history, "--include-seen")[None]) == set(TEXTS)
    assert set(listed(capsys, folder, *history, "--candidates", "rum,tea,42")[None]) == {
        "rum",
        "42",
    }
    out = said(capsys, folder, *history, "--candidates", "tea").out
    assert out == "no item is left to recommend\n"


def test_a_new_user_gets_the_most_frequent_items(capsys, texts):
    assert listed(capsys, texts[1], "--k", "2") == {None: ["tea", "jam"]}


def test_unknown_items_are_named_and_passed_over(capsys, texts):
    _, folder = texts
    asked = ["--history", "tea,coal,jam,coal", "--candidates", "rum,soot", "--k", "6"]
    printed = said(capsys, folder, *asked)
    assert "does not know 1 item(s) of the history, and passes over them: 'coal'" in printed.err
    assert "does not know 1 item(s) of the candidates, and passes over them: 'soot'" in printed.err
    assert printed.out.startswith("  1  rum")


def test_numbers_of_the_shell_are_ids_of_a_log_of_numbers(capsys, numbers):
    recommender, folder = numbers
    found = listed(capsys, folder, "--history", "-3,70,1000000000000", "--k", "2")
    assert found == {None: items(recommender.recommend([-3, 70, 10**12], k=2))}


@pytest.mark.parametrize("source", ["file", "-"])
def test_a_csv_holds_several_users_and_any_id(capsys, texts, tmp_path, monkeypatch, source):
    recommender, folder = texts
    text = f'user,item,timestamp\n2,"gin, dry",{NOON}\n1,user@home,5\n2,42,{NOON + 1}\n'
    if source == "-":
        stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
    else:
        source = str(tmp_path / "events.csv")
        (tmp_path / "events.csv").write_text(text)
    assert listed(capsys, folder, "--history-file", source, "--k", "2") == {
        "2": items(recommender.recommend([("gin, dry", NOON), ("42", NOON + 1)], k=2)),
        "1": items(recommender.recommend([("user@home", 5)], k=2)),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--history", "tea,,jam"], "which has nothing at place 1, but items are separated"),
        (["--history", "@5"], "'@5', which has no item before the @"),
        (["--history", "tea@noon"], "has the time 'noon' (place 0), but times are whole Unix"),
        (["--history", "tea@9,jam@8"], "Times of `history` go back at row 1 (8 after 9)"),
        (["--history", "tea@9,jam"], "has an event without a time ('jam', row 1)"),
        (["--history", f"tea@{NOON}000"], "Divide milliseconds by 1000"),
        (["--k", "0"], "`k` must be a positive int, but was 0"),
        (["--k", "7"], "`k` was 7, but the catalogue has 6 items"),
        (["--history", "tea", "--history-file", "x.csv"], "Leave one of them out"),
        (["--history-file", "nowhere.csv"], "was 'nowhere.csv', but there is no such file"),
        (["--candidates", ""], "`candidates` was empty, but it names the items"),
    ],
)
def test_what_is_wrong_is_said_in_three_parts(capsys, texts, arguments, message):
    assert main(["recommend", texts[1], "--k", "3", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("Error: ") and message in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item,when\ntea,5\n", "has the columns item, when, but a history has item"),
        ("timestamp\n5\n", "has the columns timestamp, but a history has item"),
        ("item,timestamp\ntea,5\njam,\n", "has no timestamp at row 1 (after the heading, from 0)"),
        ("item,timestamp\ntea,5\njam,6,7\n", "which is no CSV"),
        ("", "which is no CSV"),
        ("item,timestamp\ntea,1.5\n", "has the time '1.5' (place 0)"),
    ],
)
def test_a_file_that_is_no_history_is_refused(capsys, texts, tmp_path, text, message):
    path = tmp_path / "events.csv"
    path.write_text(text)
    assert main(["recommend", texts[1], "--history-file", str(path)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("item", ["tea", "7.0", "1_0", " "])
def test_text_for_a_log_of_numbers_is_refused(capsys, numbers, tmp_path, item):
    path = tmp_path / "events.csv"
    path.write_text(f'item\n70\n"{item}"\n')
    assert main(["recommend", numbers[1], "--history-file", str(path)]) == 1
    said = capsys.readouterr().err
    assert f"{item!r} (place 1), but this model knows whole numbers such as 7. Pass" in said


def test_a_number_of_very_many_digits_is_no_id(capsys, numbers):
    """Python refuses to convert it, in words that say nothing of items."""
    assert main(["recommend", numbers[1], "--history", "7," + "9" * 5000]) == 1
    said = capsys.readouterr().err
    assert f"`history` holds the item '{'9' * 100}'... (5,000 characters) (place 1), but" in said
    assert "whole numbers such as 7. Pass ids as its log has them" in said
    assert main(["recommend", numbers[1], "--history", "7@" + "9" * 5000]) == 1
    assert "characters) (place 0), but times are whole Unix seconds" in capsys.readouterr().err
    assert main(["recommend", numbers[1], "--history", f"7,{2**64}", "--k", "2"]) == 0
    assert f"passes over them: {2**64}" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(capsys, tmp_path):
    assert main(["recommend", str(tmp_path)]) == 1
    assert "Pass a folder" in capsys.readouterr().err
