"""What a signature requires of its inputs, inside the graph: a failure says what to mend."""

import tensorflow as tf

from hrec_tf.export.state_seal import NUMBER, seal_of
from hrec_tf.schema import FEEDBACK, USER_FEATURES
from hrec_tf.user_history import LATEST_SECONDS

LISTS = ("allow", "deny")
"""Inputs of raw ids (batch, any) that have their lengths beside them."""


def after(checks: list[tf.Operation], *values: tf.Tensor) -> list[tf.Tensor]:
    """Returns the values, which nothing reads before the checks: it would fail in its own words."""
    with tf.control_dependencies(checks):
        return [tf.identity(value) for value in values]


def history_checks(item_ids, timestamps, lengths, rows) -> list[tf.Operation]:
    """Checks of whole histories, and of the other inputs, by name, that belong to their rows."""
    context = {name: rows[name] for name in ("at", FEEDBACK, USER_FEATURES) if name in rows}
    shape, width = tf.shape(item_ids), tf.shape(item_ids)[1]
    same_shape = _require(
        tf.reduce_all(tf.shape(timestamps) == shape),
        "`timestamps` must have the shape of `item_ids`: one time per event. Shapes of both:",
        [tf.shape(timestamps), shape],
    )
    shapes = [same_shape, *_same_batch(item_ids, rows)]
    # What follows would stop at shapes that do not fit, with words of its own.
    with tf.control_dependencies(shapes):
        lengths = tf.identity(lengths)
    is_real = tf.range(tf.shape(timestamps)[1]) < lengths[:, None]
    goes_back = is_real[:, 1:] & (timestamps[:, 1:] < timestamps[:, :-1])
    return [
        *shapes,
        _require(
            tf.reduce_all((lengths >= 0) & (lengths <= width)),
            "`lengths` must lie in 0..time: the number of real events of a row. Got, for time:",
            [lengths, width],
        ),
        *_list_checks(rows),
        _require(
            ~tf.reduce_any(goes_back),
            "`timestamps` must not go back inside a row: sort the events by time. Rows:",
            [tf.where(tf.reduce_any(goes_back, axis=1))[:, 0]],
        ),
        _require_seconds(tf.where(is_real, timestamps, 0)),
        *context_checks(item_ids, timestamps, lengths, context),
    ]


def _list_checks(rows) -> list[tf.Operation]:
    """Checks that lists of items which differ in length are as long as is said of them."""
    return [
        _require(
            tf.reduce_all((rows[f"{name}_lengths"] >= 0) & (rows[f"{name}_lengths"] <= width)),
            f"`{name}_lengths` must lie in 0..width of `{name}`: the number of real ids of a row. "
            "Got, for width:",
            [rows[f"{name}_lengths"], width],
        )
        for name, width in ((name, tf.shape(rows[name])[1]) for name in LISTS if name in rows)
    ]


def context_checks(item_ids, timestamps, lengths, context) -> list[tf.Operation]:
    """Checks of what is asked beside the events (batch, time); of one each if `lengths` is None."""
    checks = _same_batch(item_ids, context)
    with tf.control_dependencies(checks):
        context = {name: tf.identity(values) for name, values in context.items()}
    if "at" in context:
        last = timestamps[:, -1:] if lengths is None else _last(timestamps, lengths)
        goes_back = tf.reduce_any(context["at"][:, None] < last, axis=1)
        checks.append(
            _require(
                ~tf.reduce_any(goes_back),
                "`at` must not lie before the last event: it is the time of asking. Rows:",
                [tf.where(goes_back)[:, 0]],
            )
        )
        checks.append(_require_seconds(context["at"][:, None]))
    if FEEDBACK in context and lengths is not None:
        checks.append(
            _require(
                tf.reduce_all(tf.shape(context[FEEDBACK])[:2] == tf.shape(item_ids)),
                "`feedback` must have the shape of `item_ids` and one axis more. Shapes of both:",
                [tf.shape(context[FEEDBACK]), tf.shape(item_ids)],
            )
        )
    for name in (FEEDBACK, USER_FEATURES):
        if name in context:
            is_finite = tf.reduce_all(tf.math.is_finite(context[name]))
            message = f"`{name}` must be finite: encode what is missing by the schema. Shape:"
            checks.append(_require(is_finite, message, [tf.shape(context[name])]))
    return checks


def _last(timestamps, lengths) -> tf.Tensor:
    """The last real time of each row (batch, 1); the earliest there is of an empty row."""
    is_real = tf.range(tf.shape(timestamps)[1]) < lengths[:, None]
    earliest = tf.constant(-LATEST_SECONDS, tf.int64)
    return tf.reduce_max(tf.where(is_real, timestamps, earliest), axis=1, keepdims=True)


def state_checks(item_ids, timestamps, state, state_info, model_number) -> list[tf.Operation]:
    """Checks that a state is of this model, as it was given, and not later than the event."""
    rows = {"timestamps": timestamps, "state": state, "state_info": state_info}
    shapes = _same_batch(item_ids, rows)
    with tf.control_dependencies(shapes):
        state, state_info = tf.identity(state), tf.identity(state_info)
    # Of models that are told of gaps more follows, see `hrec_tf.pending_reader`.
    last, number = state_info[:, 0], state_info[:, NUMBER]
    is_ours = (number == 0) | (number == seal_of(state, state_info, model_number))
    is_finite = tf.reduce_all(tf.math.is_finite(state), axis=1)
    goes_back = (number != 0) & (timestamps < last)
    # Of a new user all is zero: half of an answer would lose the history without a word.
    is_empty = tf.reduce_all(state == 0, axis=1) & tf.reduce_all(state_info == 0, axis=1)
    is_whole = (number != 0) | is_empty
    return [
        *shapes,
        _require_seconds(timestamps[:, None]),
        _require(
            tf.reduce_all(is_whole | ~is_finite),
            "`state` and `state_info` do not belong together: pass both of one answer as they "
            "came, or zeros for a new user. Rows:",
            [tf.where(~is_whole)[:, 0]],
        ),
        _require(
            tf.reduce_all(is_ours | ~is_finite),
            "`state` comes from another model or version, or was changed: ask `recommend` with "
            "the history again. Rows:",
            [tf.where(~is_ours)[:, 0]],
        ),
        _require(
            tf.reduce_all(is_finite),
            "`state` holds NaN or infinity: pass the state of the answer before, or zeros for a "
            "new user. Rows:",
            [tf.where(~is_finite)[:, 0]],
        ),
        _require(
            ~tf.reduce_any(goes_back),
            "`timestamps` must not lie before the event that `state` ended with. Rows:",
            [tf.where(goes_back)[:, 0]],
        ),
    ]


def _require_seconds(timestamps: tf.Tensor) -> tf.Operation:
    is_late = (timestamps >= LATEST_SECONDS) | (timestamps <= -LATEST_SECONDS)
    is_late = tf.reduce_any(is_late, axis=1)
    return _require(
        ~tf.reduce_any(is_late),
        f"`timestamps` must be Unix seconds below {LATEST_SECONDS}: divide milliseconds by 1000. "
        "Rows:",
        [tf.where(is_late)[:, 0]],
    )


def _same_batch(item_ids: tf.Tensor, rows: dict[str, tf.Tensor]) -> list[tf.Operation]:
    """Requires a row of each input for each row of `item_ids`; one row would be repeated."""
    batch = tf.shape(item_ids)[0]
    return [
        _require(
            tf.shape(values)[0] == batch,
            f"`{name}` must have the batch of `item_ids`: one row for each. Batches of both:",
            [tf.shape(values)[0], batch],
        )
        for name, values in rows.items()
    ]


def _require(holds: tf.Tensor, message: str, values: list[tf.Tensor]) -> tf.Operation:
    # The op itself: `tf.debugging.Assert` wraps it in a branch, which costs more than the check.
    return tf.raw_ops.Assert(condition=holds, data=[tf.constant(message), *values], summarize=10)
