"""How well learned boundaries find the first events of simulated sessions.

    python -m benchmarks.boundaries > benchmarks/boundaries.txt

Simulation 1: users of runs of one item, a day between sessions (`hierarchical_sessions`).
Trained on 2,000 users, measured on 500 others: an event is found if a segment of the model begins
with it; a user's first event counts for neither. Each row over two seeds, mean ± deviation.
"""

import numpy as np

COMMAND = "python -m benchmarks.boundaries > benchmarks/boundaries.txt"
TRAINED, MEASURED, SEEDS = 2_000, 500, (0, 1)
EPOCHS, LANES, STEPS = 30, 32, 10
SIZES = {
    "hm-rnn": {"item_dim": 16, "units": 16},
    "hs-lstm": {"item_dim": 16, "lower_units": 16, "upper_units": 16},
}
HM_RNN = {
    "learned from items": {},
    "learned, gaps read": {"use_gaps": True},
    "so, begun at long gaps": {"use_gaps": True, "gap_weight": 1.0},
    "supervised": {"boundaries": "supervised"},
    "supervised, gaps read": {"boundaries": "supervised", "use_gaps": True},
}
PHASES = {"pretrain_epochs": 5, "policy_epochs": 5}
HS_LSTM = {
    "learned from items": {"use_gaps": False, "heuristic": "every_third"} | PHASES,
    "learned, gaps read": {"heuristic": "every_third"} | PHASES,
    "pretrained on sessions": {"use_gaps": False} | PHASES,
    "so, gaps read": PHASES,
    "supervised": {"boundaries": "supervised", "use_gaps": False},
    "supervised, gaps read": {"boundaries": "supervised"},
}
ROWS = [
    *(("hm-rnn", *row) for row in HM_RNN.items()),
    *(("hs-lstm", *row) for row in HS_LSTM.items()),
]


def agreement(model, histories):
    """Returns how well the lowest boundary of a model is the sessions' first events."""
    from hrec_tf.data.vocabulary import Vocabulary
    from hrec_tf.reporting.explained import chosen, numbers

    vocabulary = Vocabulary(list(range(1, 1 + histories.num_items)))
    last = np.searchsorted(histories.session_offsets, histories.user_offsets[1:]) - 1
    found = [
        numbers.boundary_agreement(chosen.explain_session(model, vocabulary, histories, session))
        for session in last
    ]
    return next(iter(numbers.agreements(found).values()))


def measured(name, arguments, seed):
    """Trains a model on simulated users and returns its agreement on others."""
    import keras

    from hrec_tf import registry
    from hrec_tf.data.gaps import gap_moments
    from hrec_tf.data.lanes import lane_stream
    from hrec_tf.data.simulations import hierarchical_sessions
    from hrec_tf.losses import CrossEntropy

    training = hierarchical_sessions(TRAINED, seed=seed)
    entry = registry.entry(name)
    if arguments.get("use_gaps") and "gap_mean" in entry.settings():
        mean, sd = gap_moments(training)
        arguments = arguments | {"gap_mean": mean, "gap_sd": sd}
    model = entry.build(num_items=training.num_items, seed=seed, **SIZES[name], **arguments)
    model.compile(keras.optimizers.Adam(2e-3, clipnorm=1.0), CrossEntropy(), jit_compile=True)
    stream = lane_stream(
        training,
        layout=model.layout,
        num_lanes=LANES,
        steps=STEPS,
        seed=seed,
        with_gaps=model.reads_gaps,
    )
    model.fit(stream, epochs=EPOCHS, verbose=0)
    return agreement(model, hierarchical_sessions(MEASURED, seed=1_000 + seed))


def main() -> None:
    print(f"# {COMMAND}")
    print(f"{'model':8} {'boundaries':24} {'precision':>14} {'recall':>14} {'F1':>14}")
    for name, label, arguments in ROWS:
        found = [measured(name, arguments, seed) for seed in SEEDS]
        cells = []
        for score in ("precision", "recall", "f1"):
            values = [getattr(one, score) for one in found]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
        print(f"{name:8} {label:24} {'  '.join(f'{cell:>13}' for cell in cells)}", flush=True)


if __name__ == "__main__":
    main()
