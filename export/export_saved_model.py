"""Writes the SavedModel of a run, as TensorFlow Serving loads it, and checks it.

python export/export_saved_model.py runs/first models/recommender

RUN is a folder that `hrec train` wrote, DIR the base path: DIR/1, DIR/2, ... are its versions.
`hrec export` does the same; this is the script to copy where an export needs more than that.
"""

import argparse
from pathlib import Path

from hrec_tf.export import export_saved_model
from hrec_tf.export.parity import check_parity
from hrec_tf.recommender import Recommender

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("run", metavar="RUN")
parser.add_argument("base_path", metavar="DIR")
parser.add_argument("--k", type=int, nargs="+", default=[20], help="lengths of the lists (20)")
parser.add_argument("--xla", action="store_true", help="compile the signatures by XLA")
parser.add_argument("--tables", default="float32", help="type of the item tables: or bfloat16")
options = parser.parse_args()

# The model, the vocabulary, and the idle time that ended a session in the log.
recommender = Recommender.load(options.run)


def check(folder):
    """In a process without Keras and hrec_tf, every signature must answer as the model does."""
    parity = check_parity(recommender, saved_model=folder)
    print(f"equal to the model up to {max(parity.differences.values()):.1e}")


# The version takes its place, where servers look, when it has passed the check.
card = Path(options.run) / "model_card.md"
folder = export_saved_model(
    recommender,
    options.base_path,
    k=options.k,
    xla=options.xla,
    tables=options.tables,
    card=card.read_text(encoding="utf-8") if card.is_file() else None,
    check=check,
)
print(f"{folder}\nServe it: hrec serve {folder.parent}")
