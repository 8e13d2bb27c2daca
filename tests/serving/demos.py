"""Pages over tiny models, and questions to them as a browser or anybody else may send them."""

import json
import urllib.error
import urllib.request
from typing import NamedTuple

from hrec_tf import registry
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.recommender import Recommender
from tests.reference.weights import fill_drawn

SCRIPT = "<script>alert(1)</script>"
TEXTS = ["tea", "jam", SCRIPT, "gin, dry", "rum", "ale", "ø", "42"]
DESCRIPTIONS = {"tea": "Green Tea", "rum": "dark, from Jamaica", "ale": "<b>pale</b> green"}
NOON = 1_700_000_000
SIZES = {
    "hcrnn-3-bi": {"units": 6, "item_dim": 6, "num_contexts": 4},
    "hrnn-init": {"session_units": 6, "user_units": 5},
    "narm": {"units": 6, "item_dim": 5},
    "hm-rnn": {"units": 5, "item_dim": 6, "num_layers": 3},
    "hs-lstm": {"lower_units": 5, "upper_units": 4, "item_dim": 6},
}


class Reply(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def recommender(model, raw_ids, *, scale=1.0, **options):
    built = registry.entry(model).build(num_items=len(raw_ids), seed=0, **SIZES[model])
    fill_drawn(built, scale)
    supports = range(len(raw_ids), 0, -1)
    return Recommender(built, Vocabulary(raw_ids, list(supports)), **options)


def ask(demo, path, question=None, *, body=None, method=None, **headers):
    """Sends a question, if there is one, as JSON."""
    data = body if question is None else json.dumps(question).encode()
    sent = {"Content-Type": "application/json"} if data is not None else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(demo.url + path, data, sent, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as reply:
            return Reply(reply.status, dict(reply.headers), reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, dict(error.headers), error.read())
