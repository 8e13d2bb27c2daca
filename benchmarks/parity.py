"""How far the exported forms of every model depart from Keras, on a thousand histories.

    python -m benchmarks.parity > benchmarks/parity.txt
    python -m benchmarks.parity --models hrnn-init,narm

Every model of the registry that is served, of its default size, with fresh weights, over 300
items; histories of up to 40 events with unknown items and gaps at the threshold, and those of every
kind of edge. Greatest difference of a score, as a share of the largest of its history: of the
SavedModel in a process without Keras, and of the LiteRT file of float32; `step` is asked event by
event. A form that departs by more than its tolerance ends the run with an error.
"""

import argparse
import sys
import tempfile
from pathlib import Path

NUM_ITEMS, K, HISTORIES = 300, 20, 1_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--models", help="names, with commas between (default: all)")
    parser.add_argument("--histories", type=int, default=HISTORIES)
    options = parser.parse_args()

    from benchmarks.performance import machine
    from hrec_tf import registry
    from hrec_tf.data.vocabulary import Vocabulary
    from hrec_tf.export import export_saved_model, export_tflite
    from hrec_tf.export.parity import check_parity
    from hrec_tf.recommender import Recommender

    named = options.models.split(",") if options.models else registry.names()
    print(f"# python -m benchmarks.parity > benchmarks/parity.txt\n# {machine()}")
    print(
        f"{'':22}{'histories':>10}{'SavedModel':>12}{'its step':>12}{'LiteRT':>12}{'its step':>12}"
    )
    for name in named:
        entry = registry.entry(name)
        if entry.is_baseline or not entry.is_served:
            continue
        vocabulary = Vocabulary([f"item {i}" for i in range(NUM_ITEMS)], range(NUM_ITEMS, 0, -1))
        recommender = Recommender(entry.build(num_items=NUM_ITEMS, seed=0), vocabulary)
        with tempfile.TemporaryDirectory() as scratch:
            found = check_parity(
                recommender,
                saved_model=export_saved_model(recommender, Path(scratch) / "served", k=K),
                tflite=export_tflite(
                    recommender, Path(scratch) / "model.tflite", k=K, quantize="float32"
                ),
                num_random=options.histories,
            )
        columns = [
            max((of for form, of in found.differences.items() if belongs(form)), default=None)
            for belongs in (
                lambda form: form.startswith("saved_model") and "step" not in form,
                lambda form: form.startswith("saved_model") and "step" in form,
                lambda form: form.startswith("tflite") and "step" not in form,
                lambda form: form.startswith("tflite") and "step" in form,
            )
        ]
        shown = "".join(f"{'-' if of is None else f'{of:.1e}':>12}" for of in columns)
        print(f"{name:22}{found.num_histories:>10}{shown}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
