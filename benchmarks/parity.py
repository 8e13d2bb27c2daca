"""How far the exported forms of every model depart from Keras, on a thousand histories.

    python -m benchmarks.parity > benchmarks/parity.txt
    python -m benchmarks.parity --models hrnn-init,narm

Every model of the registry that is served, of its default size, with fresh weights, over 300
items; histories of up to 40 events with unknown items and gaps at the threshold, and those of every
kind of edge. Greatest difference of a score, as a share of the largest of its history: of the
SavedModel in a process without Keras, and of the LiteRT file of float32; `step` is asked event by
event. The other forms (compiled by XLA, tables of bfloat16, a LiteRT file of float16) are asked 50
of the random histories. A form that departs by more than its tolerance ends the run with an error.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hrec_tf.export.parity import Parity

NUM_ITEMS, K, HISTORIES, FEWER = 300, 20, 1_000, 50
COLUMNS = "histories", "SavedModel", "its step", "LiteRT", "its step", "XLA", "bfloat16", "float16"


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
    print(f"{'':18}" + "".join(f"{name:>11}" for name in COLUMNS))
    for name in named:
        entry = registry.entry(name)
        if entry.is_baseline or not entry.is_served:
            continue
        vocabulary = Vocabulary([f"item {i}" for i in range(NUM_ITEMS)], range(NUM_ITEMS, 0, -1))
        recommender = Recommender(entry.build(num_items=NUM_ITEMS, seed=0), vocabulary)
        with tempfile.TemporaryDirectory() as scratch:
            base, file = Path(scratch) / "served", Path(scratch) / "model.tflite"
            short = Path(scratch) / "short.tflite"
            found = check_parity(
                recommender,
                saved_model=export_saved_model(recommender, base, k=K),
                tflite=export_tflite(recommender, file, k=K, quantize="float32"),
                num_random=options.histories,
            )
            others = [
                check_parity(recommender, num_random=FEWER, **{kind: exported})
                for kind, exported in (
                    ("saved_model", export_saved_model(recommender, base, k=K, xla=True)),
                    ("saved_model", export_saved_model(recommender, base, k=K, tables="bfloat16")),
                    ("tflite", export_tflite(recommender, short, k=K, quantize="float16")),
                )
            ]
        columns = [
            _greatest(found, kind, is_step)
            for kind in ("saved_model", "tflite")
            for is_step in (False, True)
        ]
        columns += [_greatest(one, ("saved_model", "tflite")) for one in others]
        shown = "".join(f"{'-' if of is None else f'{of:.1e}':>11}" for of in columns)
        print(f"{name:18}{found.num_histories:>11}{shown}", flush=True)


def _greatest(
    found: "Parity", kind: str | tuple[str, ...], is_step: bool | None = None
) -> float | None:
    """The greatest difference of a kind of form; None where there is no such form."""
    differences = [
        difference
        for form, difference in found.differences.items()
        if form.startswith(kind) and (is_step is None or is_step == ("step" in form))
    ]
    return max(differences, default=None)


if __name__ == "__main__":
    sys.exit(main())
