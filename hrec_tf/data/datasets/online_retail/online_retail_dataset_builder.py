"""Builder of the TensorFlow data set `online_retail` from the bundled tables, without a network."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from hrec_tf.data.bundled import OnlineRetail, load_online_retail
from hrec_tf.data.datasets import facts, import_tfds
from hrec_tf.schema import ITEM, SESSION, TIMESTAMP, USER

__all__ = ["Builder"]

if TYPE_CHECKING:
    import tensorflow_datasets as tfds
else:
    tfds = import_tfds()


class Builder(tfds.core.GeneratorBasedBuilder):
    """Online Retail, one example per session (invoice), in time order.

    An example holds the scalars `user`, `session` and `country`, and `events`, whose features
    have one entry per line of the invoice: `item`, `timestamp` (Unix seconds), `quantity`,
    `description` and `unit_price` (the item's median, GBP). The only split is `train`: all
    18,536 sessions with 397,924 events.

    Source: Chen, D. (2015), Online Retail, UCI Machine Learning Repository,
    doi:10.24432/C5BW33, licence CC BY 4.0.

    Example:
        >>> import tensorflow_datasets as tfds
        >>> import hrec_tf.data.datasets.online_retail
        >>> sessions = tfds.load("online_retail/full", split="train")  # doctest: +SKIP
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: dict[str, str] = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="full", description="All rows, nothing filtered.")
    ]

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Purchases at a UK online gift wholesaler between December 2010 and December "
                "2011, one example per invoice. Rows of unknown customers and returns are not "
                "part of it."
            ),
            features=tfds.features.FeaturesDict(
                {
                    USER: np.int64,
                    SESSION: np.int64,
                    "country": tfds.features.Text(),
                    "events": tfds.features.Sequence(
                        {
                            ITEM: tfds.features.Text(),
                            TIMESTAMP: np.int64,
                            "quantity": np.int64,
                            "description": tfds.features.Text(),
                            "unit_price": np.float32,
                        }
                    ),
                }
            ),
            homepage="https://doi.org/10.24432/C5BW33",
            citation=facts.entry(self.name).citation,
            license="CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
            disable_shuffling=True,  # the order of the sessions is that of their times
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # the tables are installed with the package
        return {"train": self._generate_examples(load_online_retail())}

    def _generate_examples(self, retail: OnlineRetail) -> Iterator[tuple[int, dict[str, Any]]]:
        events = [ITEM, TIMESTAMP, "quantity", "description", "unit_price"]
        sessions = (
            retail.purchases.join(retail.items, on=ITEM, how="left", maintain_order="left")
            .rename({"median_unit_price": "unit_price"})
            .group_by(SESSION, maintain_order=True)
            .agg(pl.col(USER).first(), *events)
            .join(retail.users, on=USER, how="left", maintain_order="left")
        )
        # TFDS sorts unshuffled examples by key, and invoice numbers are not quite in time order.
        for position, session in enumerate(sessions.iter_rows(named=True)):
            yield (
                position,
                {
                    USER: session[USER],
                    SESSION: session[SESSION],
                    "country": session["country"],
                    "events": {name: session[name] for name in events},
                },
            )
