"""What is said of public data sets: complete, free of addresses, quick to list, and in the docs."""

import subprocess
import sys
from pathlib import Path

import pytest

from hrec_tf.data.datasets import facts
from hrec_tf.data.datasets.__main__ import to_markdown

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", facts.names())
def test_every_data_set_says_all_there_is_to_know(name):
    about = facts.entry(name)
    assert about.origin in (facts.BUILDER, facts.BUNDLED, facts.STOCK)
    for told in (about.title, about.about, about.fetch, about.terms, about.described_by):
        assert told and "http" not in told and "www." not in told
    assert about.citation.startswith("@") and about.citation.count("{") == about.citation.count("}")
    assert about.users or about.sessions


def test_packages_are_the_data_sets_that_have_a_builder():
    folder = ROOT / "hrec_tf" / "data" / "datasets"
    packages = {path.parent.name for path in folder.glob("*/*_dataset_builder.py")}
    assert packages == {n for n in facts.names() if facts.entry(n).origin != facts.STOCK}


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"`name` was 'lastfm'.*Did you mean 'lastfm_1k'"):
        facts.entry("lastfm")


def test_documentation_is_what_the_facts_write():
    text = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert text == to_markdown(), "run: python -m hrec_tf.data.datasets > docs/datasets.md"


@pytest.mark.integration
def test_listing_loads_neither_tensorflow_nor_its_data_sets():
    code = (
        "import sys; from hrec_tf.cli.main import main; main(['data', 'list']); "
        "print({'tensorflow', 'keras', 'tensorflow_datasets'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("set()\n")
