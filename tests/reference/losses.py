"""The losses of docs/equations.md 0.6, one row and one column at a time, in float64."""

import math

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def activate(x, activation, alpha=None):
    if activation == "tanh":
        return math.tanh(x)
    if activation == "relu":
        return max(x, 0.0)
    if activation == "elu":
        return x if x > 0 else alpha * (math.exp(x) - 1.0)
    return x


def usable_columns(row, column_weights, collisions):
    """The row's own column and every other one that is neither idle nor a masked collision."""
    return [
        column
        for column in range(len(column_weights))
        if column == row
        or (column_weights[column] > 0 and not (collisions is not None and collisions[row][column]))
    ]


def softmax(values):
    top = max(values)
    exps = [math.exp(value - top) for value in values]
    return [value / sum(exps) for value in exps]


def cross_entropy(r, i, columns, log_q=None):
    shifted = [r[j] - (0.0 if log_q is None else log_q[j]) for j in columns]
    return -math.log(softmax(shifted)[columns.index(i)] + 1e-24)


def smoothed_cross_entropy(r, i, columns, epsilon):
    log_p = [math.log(p) for p in softmax([r[j] for j in columns])]
    return -(1 - epsilon) * log_p[columns.index(i)] - epsilon / len(columns) * sum(log_p)


def bpr_reference(r, i, columns):
    return -sum(math.log(sigmoid(r[i] - r[j])) for j in columns) / len(columns)


def bpr_paper(r, i, columns):
    others = [j for j in columns if j != i]
    return -sum(math.log(sigmoid(r[i] - r[j])) for j in others) / len(others)


def top1_paper(r, i, columns):
    others = [j for j in columns if j != i]
    return sum(sigmoid(r[j] - r[i]) + sigmoid(r[j] ** 2) for j in others) / len(others)


def top1_reference(r, i, columns, diagonal_divisor=None):
    total = sum(sigmoid(r[j] - r[i]) + sigmoid(r[j] ** 2) for j in columns) / len(columns)
    return total - sigmoid(r[i] ** 2) / (diagonal_divisor or len(columns))


def top1_max(r, i, columns):
    others = [j for j in columns if j != i]
    shares = softmax([r[j] for j in others])
    return sum(
        share * (sigmoid(r[j] - r[i]) + sigmoid(r[j] ** 2))
        for share, j in zip(shares, others, strict=True)
    )


def bpr_max(r, i, columns, penalty):
    others = [j for j in columns if j != i]
    shares = softmax([r[j] for j in others])
    won = sum(share * sigmoid(r[i] - r[j]) for share, j in zip(shares, others, strict=True))
    small = sum(share * r[j] ** 2 for share, j in zip(shares, others, strict=True))
    return -math.log(won + 1e-24) + penalty * small


def binary_cross_entropy(r, i, columns):
    others = [j for j in columns if j != i]
    refused = sum(math.log(1.0 - sigmoid(r[j])) for j in others) / len(others)
    return -math.log(sigmoid(r[i])) - refused


def rows(row_loss, logits, column_weights, *, activation="linear", alpha=None, collisions=None):
    """`row_loss(r, i, columns)` of every row of (B, M) raw scores."""
    losses = []
    for i, row in enumerate(np.asarray(logits, np.float64)):
        r = [activate(float(score), activation, alpha) for score in row]
        losses.append(row_loss(r, i, usable_columns(i, column_weights, collisions)))
    return np.array(losses)
