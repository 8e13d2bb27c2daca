"""The README's Python example runs as it stands, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from hrec_tf.recommender import Recommender

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (
    "README.md",
    "docs/equations.md",
    "docs/evaluation.md",
    "docs/explain.md",
    "docs/features.md",
    "docs/litert.md",
    "docs/serving.md",
    "docs/tuning.md",
    "serving/README.md",
    "serving/tf_serving/README.md",
)
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def printed_by(monkeypatch, capsys, tmp_path):
    """Runs code as a reader would, in an empty folder, and returns what it prints."""

    def run(code):
        monkeypatch.chdir(tmp_path)
        exec(compile(code, "example", "exec"), {"__name__": "__main__"})
        return capsys.readouterr().out

    return run


# An example is not stopped by what its libraries warn of.
@pytest.mark.filterwarnings("default")
@pytest.mark.integration
def test_example_trains_and_recommends(printed_by, tmp_path):
    printed = printed_by(EXAMPLE)
    listed = re.findall(r"^(\S+) (-?[0-9.]+)$", printed, flags=re.MULTILINE)
    scores = [float(score) for _, score in listed]
    assert len({item for item, _ in listed}) == 10
    assert scores == sorted(scores, reverse=True)
    assert not {"85123A", "22423", "never seen"} & {item for item, _ in listed}
    assert Recommender.load(tmp_path / "my_recommender").vocabulary.num_items == 3665


@pytest.mark.filterwarnings("default")
@pytest.mark.integration
def test_example_of_features_recommends_and_adds_an_item(printed_by):
    page = (ROOT / "docs/features.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    *listed, added = printed_by(code).splitlines()
    assert len(listed) == 5 and added.startswith("[Recommendation(item='NEW1', score=")


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert targets
    for target in targets:
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_source_paths_named_in_the_docs_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for named in re.findall(r"`((?:hrec_tf|tests|benchmarks)/[\w./]*)`", text):
        assert (ROOT / named).exists(), f"{page} names {named}"
