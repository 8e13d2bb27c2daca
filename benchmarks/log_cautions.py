"""What to keep in mind of the logs of docs/results.md: flaws of a log, or of how it is split.

    python -m benchmarks.log_cautions

Each sentence is one that `hrec compare` prints in its report, but for what concerns many rows of
the tables at once. Written to docs/log_cautions.json, from which `python -m benchmarks.report` sets
them beside the log's tables.
"""

import json
from typing import Any

from benchmarks.records import DOCS
from hrec_tf.data.atomic_files import write_whole

KEPT = DOCS / "log_cautions.json"


def kept(data: str) -> list[str]:
    """Returns the sentences of a log; nothing if none were found, or none looked for."""
    return json.loads(KEPT.read_text(encoding="utf-8")).get(data, []) if KEPT.is_file() else []


def found(data: list[str]) -> dict[str, list[str]]:
    """Returns log -> its sentences. Reads the logs."""
    from hrec_tf.data.log_source import LogSource
    from hrec_tf.reporting.cautions import of_log, sessions_held_back

    sentences = {}
    for name in data:
        source = LogSource(name)
        prepared = source.load()
        sentences[name] = of_log(prepared.split, source.split_name)
        if not prepared.split.train.has_users:
            sentences[name].append(
                "The log has no users: a session counts as one. Methods that know users or read "
                "a user's earlier sessions find none; those of levels within a session are here."
            )
        if held_back := sessions_held_back(prepared):
            sentences[name].append(
                f"{held_back} were held back for validation from the trainings that it ended, "
                "those with a *best epoch*; all other methods know them."
            )
    return sentences


def main() -> None:
    from benchmarks.records import read
    from benchmarks.report import RESULTS

    records: list[dict[str, Any]] = read(RESULTS)
    content = found(list(dict.fromkeys(record["dataset"] for record in records)))
    write_whole(KEPT, (json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
