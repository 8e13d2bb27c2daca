"""What a LiteRT file loses and gains by shorter weights: error, agreement of lists, size, speed.

    python -m benchmarks.litert > benchmarks/litert.txt
    python -m benchmarks.litert --models hrnn-init,gru4rec

Every model of the registry that has a step, with the sizes of its recipe, trained for one epoch
on a simulated log of 5,000 items. Columns:

    error      greatest difference of a listed score from Keras' score of that item, as a share of
               the largest score of the history
    top-20     mean share of Keras' 20 best items that the file lists, of 100 histories
    first      share of histories whose best item is the same
    recommend  of 20 events, median ms; step likewise
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

NUM_ITEMS, NUM_USERS, K = 5_000, 1_000, 20
EVENTS, TRIED, REPEATS, WARM_UP = 20, 100, 200, 20
BEGIN, MINUTE, DAY = 1_700_000_000, 60, 86_400


def simulated(num_users: int, *, num_items: int = NUM_ITEMS, seed: int = 0) -> Any:
    """Histories in which an item is mostly followed by one of three of its own.

    Four sessions of five events, a day apart; they begin with an item of Zipf's law.
    """
    from hrec_tf.data.histories import Histories

    draw = np.random.default_rng(seed)
    shares = 1 / np.arange(1, num_items + 1)
    shares /= shares.sum()
    followers = np.random.default_rng(0).integers(1, num_items + 1, (num_items + 1, 3))
    grid = draw.choice(num_items, (num_users, 4, 5), p=shares) + 1
    chosen, follows = draw.integers(0, 3, grid.shape), draw.random(grid.shape) < 0.8
    for place in range(1, grid.shape[2]):
        after = followers[grid[:, :, place - 1], chosen[:, :, place]]
        grid[:, :, place] = np.where(follows[:, :, place], after, grid[:, :, place])
    days, minutes = np.arange(4)[:, None] * DAY, np.arange(5) * MINUTE
    times = np.broadcast_to(BEGIN + days + minutes, grid.shape)
    size = grid.size
    return Histories(
        item_ids=grid.ravel().astype(np.int32),
        timestamps=times.ravel().astype(np.int64),
        target_weights=np.ones(size, np.float32),
        session_offsets=np.arange(0, size + 1, 5),
        user_offsets=np.arange(0, size + 1, 20),
        num_items=num_items,
    )


def trained(name: str) -> Any:
    """A recommender of one epoch."""
    from hrec_tf.data.vocabulary import Vocabulary
    from hrec_tf.fitting import train
    from hrec_tf.recipe import Recipe
    from hrec_tf.recommender import Recommender

    histories = simulated(NUM_USERS)
    recipe = Recipe.for_data(None, name).with_changes({"epochs": 1, "patience": None})
    model = train(recipe, histories, seed=1)
    return Recommender(model, Vocabulary(range(NUM_ITEMS), histories.item_supports()))


class Lists(NamedTuple):
    """How the lists of a file stand beside those of Keras; see the columns above."""

    error: float
    agreement: float
    first: float


def questions(num_items: int, tried: int, context: Any) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of `recommend`, one user each, as LiteRT takes them."""
    histories = simulated(tried, num_items=num_items, seed=1)
    rows = histories.item_ids.reshape(tried, 1, EVENTS), histories.timestamps
    for item_ids, timestamps in zip(rows[0], rows[1].reshape(tried, 1, EVENTS), strict=True):
        said = {"at": timestamps[:, -1]} if "at" in context else {}
        history = {"item_ids": item_ids, "timestamps": timestamps}
        yield history | said | {"exclude_seen": np.array([False])}


def compare(recommender: Any, file: Path, *, tried: int = TRIED) -> Lists:
    """Asks a LiteRT file and the Keras model of it the same."""
    import tensorflow as tf

    from hrec_tf.export import litert_interpreter

    inference, num_items = recommender.inference, recommender.vocabulary.num_items
    every = tf.range(1, num_items + 1)[None]
    lengths = tf.constant([EVENTS])
    score = tf.function(lambda **asked: inference.score(lengths=lengths, candidates=every, **asked))
    recommend = litert_interpreter(file).get_signature_runner("recommend")
    errors, agreements, firsts = [], [], []
    for asked in questions(num_items, tried, inference.context):
        found = recommend(**asked)
        asked.pop("exclude_seen")
        scores = score(**{name: tf.constant(values) for name, values in asked.items()})[0].numpy()
        item_ids = found["item_ids"][0]
        best = 1 + np.argsort(-scores, kind="stable")[: len(item_ids)]
        difference = np.abs(found["scores"][0] - scores[item_ids - 1]).max()
        errors.append(difference / np.abs(scores).max())
        agreements.append(len(set(best) & set(item_ids)) / len(best))
        firsts.append(best[0] == item_ids[0])
    return Lists(float(np.max(errors)), float(np.mean(agreements)), float(np.mean(firsts)))


def milliseconds(recommender: Any, file: Path) -> tuple[float, float]:
    """Medians of `recommend` and of `step`."""
    from hrec_tf.export import litert_interpreter

    inference, interpreter = recommender.inference, litert_interpreter(file)
    asked = next(questions(NUM_ITEMS, 1, inference.context))
    event = {name: values[:, -1] for name, values in asked.items() if values.ndim == 2}
    said = {name: asked[name] for name in inference.context}
    recommend = interpreter.get_signature_runner("recommend")
    given = recommend(**asked)
    states = {name: given[name] for name in ("state", "state_info")}
    step = interpreter.get_signature_runner("step")
    return (
        _median(lambda: recommend(**asked)),
        _median(lambda: step(**event, **said, **states)),
    )


def _median(call: Callable[[], Any]) -> float:
    taken = []
    for number in range(WARM_UP + REPEATS):
        begin = time.perf_counter()
        call()
        if number >= WARM_UP:
            taken.append(1000 * (time.perf_counter() - begin))
    return statistics.median(taken)


def names() -> list[str]:
    """Models of the registry that have a step."""
    from hrec_tf import registry

    return [name for name in registry.names(registry.MODEL) if registry.entry(name).has_step]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.litert", description=__doc__)
    parser.add_argument("--models", help="names, with commas between; all if left out")
    options = parser.parse_args(arguments)
    import tensorflow as tf

    from hrec_tf.export import export_tflite
    from hrec_tf.export.tflite import ConverterProcess

    print(f"python -m benchmarks.litert{f' --models {options.models}' if options.models else ''}\n")
    print(f"TensorFlow {tf.__version__}, {platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f} before. {NUM_ITEMS:,} items, lists of {K}.\n")
    print(f"{'':26}{'kB':>8}{'error':>10}{'top-20':>9}{'first':>8}{'recommend':>11}{'step':>8}")
    with ConverterProcess() as process, tempfile.TemporaryDirectory() as scratch:
        for name in options.models.split(",") if options.models else names():
            recommender = trained(name)
            for quantize in ("float32", "float16", "int8"):
                file = Path(scratch) / f"{name}-{quantize}.tflite"
                export_tflite(recommender, file, k=K, quantize=quantize, process=process)
                lists, taken = compare(recommender, file), milliseconds(recommender, file)
                print(
                    f"{name:18}{quantize:8}{file.stat().st_size / 1000:8,.0f}{lists.error:10.1e}"
                    f"{lists.agreement:9.3f}{lists.first:8.2f}{taken[0]:11.2f}{taken[1]:8.2f}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
