"""A model that explains itself, with inner values that a reader can write down."""

import numpy as np

from hrec_tf.models import Explanation, GRU4Rec

UNITS, CONTEXTS, DIM = 2, 3, 4


def made_explanation(item_ids, *, drift=True) -> Explanation:
    """Inner values of a history, each of them known.

    With t the place of an event, j <= t one before it, and i its item id:

        context_attention   2^j / (2^(t+1) - 1), twice as much for each later event
        state_attention     1 / (t+1), even
        reset               i / 100 and 3 i / 100 in the two units; drift 1/2 and 1/4
        update, context     1/4, 3/4
        h, c                i and -i; t and 0
        memory_attention    1/2, 1/4, 1/4;   topics the same
    """
    item_ids = np.asarray(item_ids)
    places = np.arange(len(item_ids))
    is_before = np.tril(np.ones((len(places), len(places))))
    doubled = is_before * 2.0**places
    ones = np.ones((len(places), UNITS))
    gates = {
        "reset": item_ids[:, None] / 100 * [1, 3],
        "update": ones / 4,
        "drift": ones * [1 / 2, 1 / 4],
        "context": 3 * ones / 4,
    }
    if not drift:
        del gates["drift"]
    return Explanation(
        item_ids=item_ids,
        attentions={
            "context_attention": doubled / doubled.sum(axis=1, keepdims=True),
            "state_attention": is_before / is_before.sum(axis=1, keepdims=True),
        },
        gates=gates,
        states={"h": item_ids[:, None] * [1, -1], "c": places[:, None] * [1, 0]},
        memory_attention=np.tile([1 / 2, 1 / 4, 1 / 4], (len(places), 1)),
        topics=np.array([1 / 2, 1 / 4, 1 / 4]),
    )


def made_vectors(num_items):
    """Item vectors (num_items, DIM), no two alike in direction."""
    return np.sin(np.arange(1, num_items * DIM + 1)).reshape(num_items, DIM)


class ExplainingGRU(GRU4Rec):
    """GRU4Rec with the inner values above; its contexts are two item vectors and their sum."""

    def explain(self, item_ids):
        return made_explanation(item_ids)

    @property
    def item_vectors(self):
        return made_vectors(self.num_items)

    @property
    def global_contexts(self):
        first, second = made_vectors(self.num_items)[:2]
        return np.stack([3 * first, second / 2, first + second])


def lend(monkeypatch, *names, cls=GRU4Rec):
    """Gives a class of the registry what `ExplainingGRU` has, all if not named."""
    for name in names or ("explain", "item_vectors", "global_contexts"):
        monkeypatch.setattr(cls, name, vars(ExplainingGRU)[name], raising=False)
