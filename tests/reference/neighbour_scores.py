"""Similar items for tests, and what they add to scores, written out."""

import numpy as np
from scipy import sparse


def similarities(num_items, neighbours):
    """A sparse (num_items, num_items) matrix of distinct values; the last item has no neighbour."""
    rows, places = np.divmod(np.arange(neighbours * (num_items - 1)), neighbours)
    columns = (rows + 1 + 2 * places) % num_items
    values = 0.02 + 0.9 * np.abs(np.sin(np.arange(1, len(rows) + 1)))
    return sparse.csr_matrix((values, (rows, columns)), shape=(num_items, num_items))


def gains(similar, item_ids, in_session, *, events, decay, weight, floor):
    """w log(1 + n / ε) of one row, event by event in float64: (num_items,)."""
    total, counted = np.zeros(similar.shape[0]), 0.0
    for k in range(events):
        if in_session[k]:
            total += decay**k * similar[[item_ids[k] - 1]].toarray()[0]
            counted += decay**k
    shares = total / counted if counted else total
    return weight * np.log(1 + shares / floor)
