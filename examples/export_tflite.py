"""Trains GRU4Rec for a moment, exports it, and asks the LiteRT file as a device would.

python examples/export_tflite.py recommender.tflite    # about a minute; keeps the file
python examples/export_tflite.py --small               # two epochs of small networks

LiteRT itself: pip install 'hrec-tf[litert]'
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from hrec_tf.data import Vocabulary, catalogue, filters, histories_from_log
from hrec_tf.data.lanes import session_parallel_stream
from hrec_tf.export import export_tflite
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.models import GRU4Rec
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.recommender import Recommender

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("file", nargs="?", help="FILE.tflite to make; a temporary one if none")
parser.add_argument("--small", action="store_true", help="60 users and small networks")
options = parser.parse_args()

entry = catalogue.entry("online-retail")
log = entry.prepare(entry.read())
if options.small:
    log = filters.first_users(log, 60)
vocabulary = Vocabulary.from_log(log)
histories = histories_from_log(log, vocabulary)

model = GRU4Rec(num_items=vocabulary.num_items, units=20 if options.small else 100, seed=0)
model.compile(optimizer=AdagradMomentum(0.1), loss=TOP1(), negatives=InBatch())
stream = session_parallel_stream(histories, num_lanes=20 if options.small else 50)
history = model.fit(stream, epochs=2 if options.small else 5, verbose=0).history
print("loss per epoch:", ", ".join(f"{loss:.4f}" for loss in history["loss"]))

recommender = Recommender(model, vocabulary, idle_minutes=30, descriptions=entry.describe())
scratch = tempfile.TemporaryDirectory()
file = export_tflite(recommender, options.file or Path(scratch.name) / "shop.tflite", k=5)

# From here on only the two files are needed. Ids are numbers: the lines of the vocabulary,
# whose line 0 is a heading; whatever is not in it is 0, unknown.
raw_ids = file.with_name(f"{file.stem}.vocabulary.txt").read_text(encoding="utf-8").split("\n")
number_of = {raw_id: number for number, raw_id in enumerate(raw_ids) if number > 0}
# Not by XNNPACK, which at times answers wrongly where the number of events is free.
resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
interpreter = Interpreter(model_path=str(file), experimental_op_resolver_type=resolver)
recommend = interpreter.get_signature_runner("recommend")
step = interpreter.get_signature_runner("step")

last = log.frame.tail(5)
known = recommend(
    item_ids=np.array([[number_of.get(raw_id, 0) for raw_id in last["item"]]], np.int32),
    timestamps=np.array([last["timestamp"].to_list()], np.int64),
    exclude_seen=np.array([True]),
)
# One more event of the same user: no need to read the history again.
later = step(
    item_ids=known["item_ids"][:, 0],
    timestamps=np.array([last["timestamp"][-1] + 60], np.int64),
    state=known["state"],
    state_info=known["state_info"],
)

first = raw_ids[known["item_ids"][0, 0]]
for title, answer in ((f"after {', '.join(last['item'])}", known), (f"and then {first}", later)):
    print(f"\n{title}")
    for number, score in zip(answer["item_ids"][0], answer["scores"][0], strict=True):
        raw_id = raw_ids[number]
        print(f"    {raw_id:8} {score:8.4f}  {recommender.describe(raw_id)}")
scratch.cleanup()
