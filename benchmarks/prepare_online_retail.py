"""Makes the files of hrec_tf/data/bundled/online_retail from the prepared Online Retail tables.

    python benchmarks/prepare_online_retail.py FOLDER [--out FOLDER]

FOLDER holds purchases.tsv.gz, items.tsv.gz and users.tsv.gz as the README in the bundled folder
describes them. Each is verified by its SHA-256 sum, then copied byte for byte: no row, column or
order is changed, and no compressor's version can change the result.
"""

import argparse
import hashlib
import sys
from pathlib import Path

BUNDLED = Path(__file__).resolve().parents[1] / "hrec_tf" / "data" / "bundled" / "online_retail"
SHA256 = {
    "purchases.tsv.gz": "86d34c459b5dbbcf6cc33b604bba2f4ec388e7284aa0583ff09ad7c545044841",
    "items.tsv.gz": "6f249179713175839cb4fba0ed1799ed7a88309c9ea3f40037ba62ae56d12e67",
    "users.tsv.gz": "913aeb683e97f53d79f861fbead1a006bd35f810615ffea10ec435ab34de09c2",
}


def prepare(source: Path, out: Path) -> list[Path]:
    """Verifies the three tables in `source` and copies them to `out`.

    All are verified before the first is written.

    Raises:
        FileNotFoundError: a table is missing.
        ValueError: a table is not the one that the sums were taken from.
    """
    contents = {name: verified(source / name) for name in SHA256}
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        partial = out / f"{name}.partial"
        partial.write_bytes(content)
        partial.replace(out / name)
    return [out / name for name in SHA256]


def verified(path: Path) -> bytes:
    """The bytes of one table, once they are known to be the expected ones."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. Expected the tables {', '.join(SHA256)}. "
            "Pass the folder that holds them."
        )
    content = path.read_bytes()
    found, expected = hashlib.sha256(content).hexdigest(), SHA256[path.name]
    if found != expected:
        raise ValueError(
            f"{path} has SHA-256 {found}, but {expected} was expected. "
            "Fetch the file again, unchanged."
        )
    return content


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="folder with the three tables")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        written = prepare(options.source, options.out)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in written:
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
