"""What to keep in mind of the logs of docs/results.md: flaws of a log, or of how it is split.

    python -m benchmarks.log_cautions

Each sentence is one that `hrec compare` prints in its report. Written to docs/log_cautions.json,
from which `python -m benchmarks.report` sets them beside the log's tables.
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
    from hrec_tf.reporting.cautions import of_log

    sources = [LogSource(name) for name in data]
    return {one.data: of_log(one.load().split, one.split_name) for one in sources}


def main() -> None:
    from benchmarks.records import read
    from benchmarks.report import RESULTS

    records: list[dict[str, Any]] = read(RESULTS)
    content = found(list(dict.fromkeys(record["dataset"] for record in records)))
    write_whole(KEPT, (json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
