"""The README's Python example runs as it stands, and its links lead somewhere."""

import os
import re
import subprocess
import sys
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


def printed_by(code, folder):
    """Runs code as a reader would, in a process of its own, and returns what it prints."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout


@pytest.mark.integration
def test_example_trains_and_recommends(tmp_path):
    printed = printed_by(EXAMPLE, tmp_path)
    listed = re.findall(r"^(\S+) (-?[0-9.]+)$", printed, flags=re.MULTILINE)
    scores = [float(score) for _, score in listed]
    assert len({item for item, _ in listed}) == 10
    assert scores == sorted(scores, reverse=True)
    assert not {"85123A", "22423", "never seen"} & {item for item, _ in listed}
    assert Recommender.load(tmp_path / "my_recommender").vocabulary.num_items == 3665


@pytest.mark.integration
def test_example_of_features_recommends_and_adds_an_item(tmp_path):
    page = (ROOT / "docs/features.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    *listed, added = printed_by(code, tmp_path).splitlines()
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
