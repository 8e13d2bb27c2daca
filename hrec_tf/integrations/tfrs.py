"""TensorFlow Recommenders: its indexes over a trained model's items, its retrieval task as a loss.

    index = streaming_index(model, k=20)     # or brute_force_index
    hidden, states = model.step(item_ids, session_start, user_start, states)
    scores, item_ids = index(hidden)

TensorFlow Recommenders is written for Keras 2 under the name `tf.keras`. It can be imported where
`TF_USE_LEGACY_KERAS=1` was in the environment before TensorFlow first looked; models of this
package stay on Keras 3 beside it. Nothing here sets that variable: it changes a whole process.

The indexes need scores that are inner products of each item's vector and bias with the hidden
state, see `hrec_tf.inner_products`.
"""

import importlib
import importlib.util
from typing import Any

import keras
import tensorflow as tf

from hrec_tf import checks, inner_products
from hrec_tf.losses import CrossEntropy
from hrec_tf.losses.sampled_loss import EXCLUDED_LOGIT
from hrec_tf.models import NextItemModel

BLOCK = 8192
"""Items whose vectors are there at once."""


def streaming_index(model: NextItemModel, *, k: int = 20, block: int = BLOCK) -> Any:
    """Returns a TFRS `Streaming` layer that finds the k best items, block by block.

    No copy of the item table is made, and scores of one block at a time are kept (a few where
    blocks are worked on side by side): for catalogues whose scores do not fit in memory. The
    vectors are the model's own: the index follows its weights.

    Args:
        model: its scores must be inner products.
        k: items to return.
        block: items of a block.

    Returns:
        A layer: hidden (batch, units) -> scores (batch, k) falling, int32 item ids (batch, k).

    Raises:
        ImportError: TensorFlow Recommenders is not installed, or Keras 2 is not `tf.keras`.
        ValueError: scores that are no inner products, or a k beyond the catalogue.
    """
    indexes = _library().layers.factorized_top_k
    layer = indexes.Streaming(query_model=inner_products.with_one, k=_checked_k(k, model))
    return layer.index_from_dataset(item_vectors(model, block=block))


def brute_force_index(model: NextItemModel, *, k: int = 20) -> Any:
    """Returns a TFRS `BruteForce` layer that finds the k best items in one product.

    It holds a copy of the vectors as they are now.

    Args, Returns, Raises: as `streaming_index`.
    """
    indexes = _library().layers.factorized_top_k
    layer = indexes.BruteForce(query_model=inner_products.with_one, k=_checked_k(k, model))
    return layer.index_from_dataset(item_vectors(model))


def item_vectors(model: NextItemModel, *, block: int = BLOCK) -> tf.data.Dataset:
    """Returns the vectors of all items by blocks, for an index of any library.

    Args:
        model: its scores must be inner products.
        block: items of a block.

    Returns:
        A dataset of int32 item ids (block,), and float32 (block, units + 1): w and, last, b, to
        be multiplied with (hidden, 1).

    Raises:
        ValueError: the model's scores are no inner products.
    """
    checks.require_positive_int("block", block, mend="Pass items of a block, e.g. 8192.")
    units = inner_products.hidden_width(model)
    furthest = inner_products.departure(model, units)
    if furthest:
        raise ValueError(
            f"Scores of {type(model).__name__} are not inner products with vectors of its items "
            f"(one is {furthest:.2g} off), but an index multiplies nothing else. Rank with "
            "`model.score`, or leave out what bends them, as STAMP's inner_sigmoid."
        )
    vectors_of = inner_products.vectors_by(model, units)
    ids = tf.data.Dataset.range(1, model.num_items + 1, output_type=tf.int32).batch(block)
    return ids.map(lambda item_ids: (item_ids, vectors_of(item_ids)))


@keras.saving.register_keras_serializable(package="hrec_tf")
class Retrieval(CrossEntropy):
    """The loss of TFRS' `tasks.Retrieval`, for `compile` beside `InBatch` negatives.

        loss_i = -log softmax_j( r_ij / temperature - q log P_j )[i]

    over the usable columns or, with `num_hard_negatives`, over the positive and the highest of the
    others. With neither temperature nor hard negatives it is `CrossEntropy`, which is faster: the
    task is given scores as if they were vectors, M^2 products a row for M columns. Accidental
    hits are left out by `InBatch(mask_collisions=True)`.

    Source: tensorflow_recommenders 0.7.7, `tasks/retrieval.py`.

    Args:
        temperature: what scores are divided by; below 1 sharpens. None divides by nothing.
        num_hard_negatives: negatives of a row that count, those of the highest scores. None is
            all of them.
        logq: q, the exponent of the correction for sampling.
        normalise: see `hrec_tf.losses.reduce_rows`.

    Raises:
        ImportError: TensorFlow Recommenders is not installed, or Keras 2 is not `tf.keras`.
    """

    def __init__(
        self,
        *,
        temperature: float | None = None,
        num_hard_negatives: int | None = None,
        logq: float = 0.0,
        normalise: str = "batch_size",
    ):
        super().__init__(logq=logq, normalise=normalise)
        if temperature is not None:
            mend = "Leave it out, or pass e.g. 0.1."
            checks.require_number("temperature", temperature, minimum=0.0, mend=mend)
            if not temperature:
                raise ValueError(f"`temperature` was 0, but scores are divided by it. {mend}")
        if num_hard_negatives is not None:
            checks.require_positive_int(
                "num_hard_negatives", num_hard_negatives, mend="Leave it out to take all."
            )
        self.temperature, self.num_hard_negatives = temperature, num_hard_negatives
        tasks, losses = _library().tasks, importlib.import_module("tf_keras").losses
        task = tasks.Retrieval(
            loss=losses.CategoricalCrossentropy(from_logits=True, reduction="none"),
            temperature=temperature,
            num_hard_negatives=num_hard_negatives,
        )
        # The task counts on AutoGraph, which updates do without.
        self._task = tf.function(task)

    def row_losses(self, logits, column_weights, *, logq=None, collisions=None):
        # The task divides before it corrects; here the correction comes first.
        if logq is not None and self.temperature is not None:
            logq *= self.temperature
        return super().row_losses(logits, column_weights, logq=logq, collisions=collisions)

    def full_row_losses(self, logits, next_item_ids):
        raise ValueError(
            "`Retrieval` was asked for the whole catalogue, but compares sampled columns. Pass "
            "negatives=InBatch(...) to `compile`, or train with CrossEntropy."
        )

    def _losses(self, scores, positives, negatives, in_batch):
        columns = scores.shape[-1]
        usable = tf.linalg.set_diag(negatives, tf.ones_like(positives))
        scores = tf.where(usable > 0, scores, EXCLUDED_LOGIT)
        # The task multiplies queries with candidates: with unit vectors scores stay what they are.
        unit_vectors = tf.eye(columns, dtype=scores.dtype)
        rows = tf.reshape(scores, (-1, *scores.shape[-2:]))
        losses = tf.map_fn(lambda step: self._task(step, unit_vectors, compute_metrics=False), rows)
        return tf.reshape(losses, tf.shape(positives))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "temperature": self.temperature,
            "num_hard_negatives": self.num_hard_negatives,
            "logq": self.logq,
            "normalise": self.normalise,
        }


def _library() -> Any:
    """Returns TensorFlow Recommenders, or says what it takes to have it."""
    if importlib.util.find_spec("tensorflow_recommenders") is None:
        raise ImportError(
            "TensorFlow Recommenders is not installed, but its indexes and tasks are asked for. "
            "Install it: pip install 'hrec-tf[tfrs]'"
        )
    try:
        return importlib.import_module("tensorflow_recommenders")
    except ImportError as error:
        raise ImportError(
            f"TensorFlow Recommenders could not be imported ({error}). It works with Keras 2 under "
            "the name tf.keras, and models of hrec_tf with Keras 3 beside it. Set "
            "TF_USE_LEGACY_KERAS=1 in the environment before TensorFlow is first imported."
        ) from error


def _checked_k(k: int, model: NextItemModel) -> int:
    checks.require_positive_int("k", k, mend="Pass items to return, e.g. 20.")
    if k > model.num_items:
        raise ValueError(
            f"`k` was {k}, but the catalogue has {model.num_items} items. Pass no more than these."
        )
    return k
