"""Writes the LiteRT file of a run, for phones and small devices, and checks it.

python export/export_tflite.py runs/first recommender.tflite
python export/export_tflite.py runs/first recommender.tflite --quantize int8

RUN is a folder that `hrec train` wrote. Beside the file come its vocabulary (item id i is line i,
counted from 0) and checksums. `hrec export` does the same; this is the script to copy where an
export needs more than that. LiteRT itself: pip install 'hrec-tf[litert]'
"""

import argparse

from hrec_tf.export import export_tflite
from hrec_tf.export.parity import check_parity
from hrec_tf.export.tflite import QUANTIZATIONS
from hrec_tf.recommender import Recommender

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("run", metavar="RUN")
parser.add_argument("file", metavar="FILE.tflite")
parser.add_argument("--k", type=int, default=20, help="length of the lists (20)")
parser.add_argument(
    "--quantize", choices=QUANTIZATIONS, default="float16", help="weights (%(default)s)"
)
options = parser.parse_args()

# The model, the vocabulary, and the idle time that ended a session in the log.
recommender = Recommender.load(options.run)


def check(file):
    """LiteRT's interpreter must answer as the model does, up to what was shortened."""
    parity = check_parity(recommender, tflite=file)
    print(f"equal to the model up to {max(parity.differences.values()):.1e}")


file = export_tflite(recommender, options.file, k=options.k, quantize=options.quantize, check=check)
print(f"{file}: {file.stat().st_size / 1000:,.0f} kB")
