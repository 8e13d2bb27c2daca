"""The builder of TensorFlow Datasets that all data sets share which are tables of text."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from hrec_tf.data.datasets import facts, import_tfds
from hrec_tf.data.datasets.tables import Table

if TYPE_CHECKING:
    import tensorflow_datasets as tfds
else:
    tfds = import_tfds()

_MOST_ROWS = 2**30
# TFDS sorts by key what lies in one of 1,000 files, each a part of all 128-bit keys: keys that are
# far apart keep these parts small, where 0, 1, 2, ... would all be sorted in memory at once.
_BETWEEN_KEYS = 2**128 // _MOST_ROWS


class TableBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Builds each table of a data set as a configuration with one split, `train`.

    An example is one row; rows keep the order of the publisher's file. A subclass is called
    `Builder` and gives `TABLES`; all else is in `hrec_tf.data.datasets.facts`. The files come from
    `manual_dir` (archives, or what they hold, unpacked); nothing is downloaded. Whole numbers are
    int64, numbers float32 and text UTF-8.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    TABLES: ClassVar[Mapping[str, Table]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        about = facts.entry(cls.name)
        cls.MANUAL_DOWNLOAD_INSTRUCTIONS = f"{about.title}. Fetch by hand: {about.fetch}"
        cls.BUILDER_CONFIGS = [
            tfds.core.BuilderConfig(name=table, description=f"Table {table} of {about.title}.")
            for table in cls.TABLES
        ]

    @property
    def _table(self) -> Table:
        return self.TABLES[self.builder_config.name]

    def _info(self) -> Any:
        about = facts.entry(self.name)
        features = {
            pl.Int64(): np.int64,
            pl.Float64(): np.float32,  # tf.train.Example knows no float64
            pl.String(): tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{about.title}: {about.about}.",
            features=tfds.features.FeaturesDict(
                {name: features[column.dtype] for name, column in self._table.columns.items()}
            ),
            citation=about.citation,
            license=about.terms,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples(dl_manager.manual_dir)}

    def _generate_examples(self, folder: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        place = 0
        for rows in self._table.read(folder, facts.entry(self.name)):
            for row in rows.iter_rows(named=True):
                if place == _MOST_ROWS:
                    raise ValueError(
                        f"{self._table.file} holds more than {_MOST_ROWS:,} rows, but no more can "
                        "be built in order. Read it with read_files, or build a part of it."
                    )
                order = _MOST_ROWS - 1 - place if self._table.newest_first else place
                yield order * _BETWEEN_KEYS, row
                place += 1
