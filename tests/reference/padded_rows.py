"""Rows of a `PrefixModel`, laid out by hand."""

import numpy as np
import tensorflow as tf

from hrec_tf.schema import ITEM_IDS, POSITIONS


def padded_events(histories, positions=None, *, more_padding=0):
    """Events of histories beside one another, padded at the end by 0.

    Args:
        histories: list of lists of item ids.
        positions: list of lists, one length for all; each history's last event if None.
        more_padding: steps of padding beyond the longest history.
    """
    if positions is None:
        positions = [[len(history) - 1] for history in histories]
    item_ids = np.zeros((len(histories), max(map(len, histories)) + more_padding), np.int32)
    for row, history in zip(item_ids, histories, strict=True):
        row[: len(history)] = history
    return {ITEM_IDS: tf.constant(item_ids), POSITIONS: tf.constant(positions, tf.int32)}
