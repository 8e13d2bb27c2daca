"""Studies whose trials are told a value at once, without a model."""

from hrec_tf.tuning import Choices, Range, Space
from hrec_tf.tuning.study import Study

SPACE = Space(
    {
        "optimizer.learning_rate": Range(0.01, 1.0, log=True),
        "arguments.units": Choices(([5], [8], [16])),
        "stream.num_lanes": Range(2, 20, step=2),
    }
)
START = {"optimizer.learning_rate": 0.1, "arguments.units": "[8]"}
SETTINGS = {"format": "x", "seed": 3, "data": {"training": "a"}, "objective": "Recall@5"}


def opened(path, *, settings=SETTINGS, space=SPACE, start=START, seed=3, pruner="none"):
    return Study(path, settings, space, start, seed=seed, pruner=pruner)


def value(changes):
    """Highest at rate 0.1 and many lanes; units do not count."""
    rate, lanes = changes["optimizer.learning_rate"], changes["stream.num_lanes"]
    return 1 - abs(rate - 0.1) + lanes / 100


def make(study, trials):
    """Makes trials until there are so many."""
    while (trial := study.begin(trials)) is not None:
        study.complete(trial, value(SPACE.changes(trial.params)))
        study.release(trial)


def leave(study, trials):
    """What a process leaves that ends in the midst of a trial: by the study, it is running."""
    study.release(study.begin(trials))
