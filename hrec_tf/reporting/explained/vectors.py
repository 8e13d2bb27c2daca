"""Item vectors and global contexts in one space: who is near whom, and a map of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

MAX_ITEMS = 1500
"""Items of a map at the most: the most frequent ones."""
OTHERS, ITEMS = "others", "items"
"""Groups of items without a category of their own on a map, or without any."""
_PERPLEXITY = 30.0
_FEWEST = 4


class Places(NamedTuple):
    """Places of vectors in a plane.

    Attributes:
        items: float (items, 2), of item ids 1, 2, ...: the first of the vocabulary.
        contexts: float (K, 2).
    """

    items: np.ndarray
    contexts: np.ndarray


def nearest(
    contexts: np.ndarray, item_vectors: np.ndarray, *, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the items nearest to each global context by cosine, nearest first.

    Args:
        contexts: float (K, D).
        item_vectors: float (num_items, D), item id i in row i - 1.
        k: how many.

    Returns:
        Item ids and cosines, each (K, k), or (K, num_items) if there are fewer. A vector of
        length 0 has the cosine 0 with all others; of equal ones the lower id comes first.

    Example:
        >>> items = np.array([[1.0, 0.0], [3.0, 3.0], [0.0, 1.0]])
        >>> ids, cosines = nearest(np.array([[0.0, 2.0]]), items, k=2)
        >>> ids.tolist(), cosines.round(2).tolist()
        ([[3, 2]], [[1.0, 0.71]])
    """
    cosines = _directions(contexts) @ _directions(item_vectors).T
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return best + 1, np.take_along_axis(cosines, best, axis=1)


def places(item_vectors: np.ndarray, contexts: np.ndarray) -> Places:
    """Lays item vectors and global contexts out in a plane by t-SNE, by the same cosines.

    Always the same for the same vectors. The first `MAX_ITEMS` items take part.

    Args:
        item_vectors: float (num_items, D).
        contexts: float (K, D).

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: fewer vectors than a plane can be made of.
    """
    tsne_class, limit_threads = import_tsne()
    shown = item_vectors[:MAX_ITEMS]
    vectors = _directions(np.concatenate([shown, contexts]))
    if len(vectors) < _FEWEST:
        raise ValueError(
            f"`item_vectors` and `contexts` are {len(vectors)} vectors, but a map takes at least "
            f"{_FEWEST}. Use a model of more items."
        )
    # Half the squared distance of vectors of length 1 is 1 - cosine.
    tsne = tsne_class(
        n_components=2,
        metric="euclidean",
        perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3),
        init="pca",
        random_state=0,
    )
    # Threads would add up in any order, and no two maps would be the same.
    with limit_threads(1):
        found = tsne.fit_transform(vectors)
    return Places(found[: len(shown)], found[len(shown) :])


def groups_of(
    raw_ids: Sequence[Any], categories: Mapping[Any, Sequence[str]], *, most: int
) -> dict[str, np.ndarray]:
    """Returns category -> the items whose first category it is, as places in `raw_ids`.

    Args:
        raw_ids: items.
        categories: raw id -> its categories; may lack items.
        most: how many categories, the most frequent ones; all else is `OTHERS`, which comes
            first. Without any category all items are `ITEMS`.

    Example:
        >>> held = {7: ("a", "b"), 8: ("c",), 9: ("a",)}
        >>> {name: rows.tolist() for name, rows in groups_of([7, 8, 9, 5], held, most=1).items()}
        {'others': [1, 3], 'a': [0, 2]}
    """
    first = [next(iter(categories.get(raw_id, ())), None) for raw_id in raw_ids]
    counted = Counter(name for name in first if name is not None)
    if not counted:
        return {ITEMS: np.arange(len(raw_ids))}
    chosen = sorted(counted, key=lambda name: (-counted[name], name))[:most]
    rows: dict[str, list[int]] = {OTHERS: [], **{name: [] for name in chosen}}
    for place, name in enumerate(first):
        rows[name if name in chosen else OTHERS].append(place)
    return {name: np.array(held, np.int64) for name, held in rows.items() if held}


def import_tsne() -> tuple[Any, Any]:
    """Returns scikit-learn's class and what limits its threads, or raises without them."""
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ImportError(
            f"scikit-learn cannot be imported ({error}), but it makes the map of item vectors and "
            "global contexts. Run: pip install 'hrec-tf[explain]'"
        ) from error
    return TSNE, threadpool_limits


def _directions(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
