"""The README's Python example runs as it stands, and its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.integration
def test_example_trains_and_evaluates(tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", EXAMPLE],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    (recall,) = re.findall(r"'Recall@20': (?:np\.float64\()?([0-9.]+)", process.stdout)
    assert 0 < float(recall) < 1


@pytest.mark.parametrize("page", ["README.md", "docs/equations.md", "docs/evaluation.md"])
def test_relative_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert targets
    for target in targets:
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/equations.md", "docs/evaluation.md"])
def test_source_paths_named_in_the_docs_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for named in re.findall(r"`((?:hrec_tf|tests|benchmarks)/[\w./]*)`", text):
        assert (ROOT / named).exists(), f"{page} names {named}"
