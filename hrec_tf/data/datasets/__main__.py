"""Writes docs/datasets.md: python -m hrec_tf.data.datasets > docs/datasets.md."""

from hrec_tf.data.datasets import facts
from hrec_tf.data.datasets.facts import PublicDataset

_HEAD = """# Public data sets

Made from `hrec_tf/data/datasets/facts.py` by `python -m hrec_tf.data.datasets > docs/datasets.md`;
do not edit. `hrec data list` prints the same facts.

None of these but Online Retail comes with hrec_tf, and nothing is downloaded: fetch the files from
their publisher, by its terms, and put them into one folder for each data set. Zip and tar archives,
and what gzip and bzip2 packed, are read as they are, 7z as well; unpacked files do, too. The
builders need the extra `tfds` (`pip install 'hrec-tf[tfds]'`), `online_retail_uci` `excel` besides,
and the .7z of YooChoose `sevenzip`, which unpacks it for the time of reading. This builds the log
of MovieLens 1M from `files/ml-1m.zip`, and
trains on it; `ml_1m/items` is its table of movies:

```
hrec data build ml_1m --files files --out ml_1m.parquet
hrec train --data ml_1m.parquet --model hrnn-init --out runs/ml_1m
```

Where there are sessions but no users, add `--user none --session session` to the second.

In Python, the data set stays built for TensorFlow Datasets (`tfds.load("ml_1m/events")`, after
`import hrec_tf.data.datasets.ml_1m`):

```python
from hrec_tf.data.datasets.built import build, read_log

build("ml_1m", files="files", data_dir="built")
log = read_log("ml_1m", data_dir="built")
```

Each table is a configuration with one split, `train`, one example per row. `user`, `item`,
`session`, `timestamp`, `event_type` and `rating` are called alike everywhere. A `timestamp` counts
seconds since 1970 in UTC, or milliseconds where times are that exact; a log has seconds. Not so
Tmall, whose days are of an unnamed year and counted as if of 1970, XING 2016, whose times its
publisher shifted, and Diginetica, whose times tell the day and the order in a session, but not the
hour. Not kept are the transactions' numbers of Retailrocket and its tree of categories, the
searches, clicks on their results and purchases of Diginetica, the tracks' MusicBrainz ids of
Last.fm, the categories' ids of Foursquare, beside their names, and the cancellations and rows
without a customer of Online Retail.
Rows are in the order of the publisher's file, except where that begins with the latest. A row that
is not as its publisher describes it stops the build, with the file and the line (of a workbook,
the row).

Layouts follow a public description, named below; a table without one has no builder. The builders
are tested on small files in these layouts, some with rows of real logs; not on the publishers'
own archives. `movielens` is the builder
of TensorFlow Datasets, for Python alone. It takes the archive as it is, not unpacked, its log has
ratings alone, and it shuffles them: ratings of one user at one second lose their order, which
`ml_100k` and `ml_1m` keep.

| name | what it is | has | built by |
|---|---|---|---|
"""


def to_markdown() -> str:
    """Returns the text of `docs/datasets.md`."""
    datasets = [facts.entry(name) for name in facts.names()]
    rows = "\n".join(
        f"| [`{dataset.name}`](#{dataset.name}) | {dataset.title}: {dataset.about} "
        f"| {dataset.has} | {dataset.origin} |"
        for dataset in datasets
    )
    return _HEAD + rows + "\n" + "".join(_section(dataset) for dataset in datasets)


def _section(dataset: PublicDataset) -> str:
    return (
        f"\n## {dataset.name}\n\n{dataset.title}: {dataset.about}.\n\n"
        f"- Files: {dataset.fetch}\n- Terms: {dataset.terms}\n"
        f"- Tables: {', '.join(f'`{table}`' for table in dataset.tables)}\n"
        f"- Layout: {dataset.described_by}.\n\n```bibtex\n{dataset.citation}\n```\n"
    )


if __name__ == "__main__":
    print(to_markdown(), end="")
