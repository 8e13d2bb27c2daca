"""A served model that is told when it is asked: lists, states and scores as in Python."""

import json

import numpy as np
import pytest

from hrec_tf.data.features import FeatureSchema
from hrec_tf.data.log_features import FeatureSchemas
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.export import export_saved_model
from hrec_tf.models import HRNNMeta
from hrec_tf.recommender import Recommender
from hrec_tf.serving.client import Client, ServingError
from hrec_tf.serving.server import Server
from tests.reference.weights import fill_drawn

RAW_IDS = ["tea", "jam", "rum", "gin", "ale"]
NOON = 1_700_000_000
HISTORY = [("tea", NOON), ("never seen", NOON + 30), ("jam", NOON + 90), ("rum", NOON + 9_000)]
FEEDBACK = np.random.default_rng(1).normal(size=(4, 2)).astype(np.float32)
USER = np.array([0.5, -1.0, 2.0], np.float32)
SAID = {"feedback": FEEDBACK, "user_features": USER}
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("asking at")]


SCHEMAS = FeatureSchemas(feedback=FeatureSchema.infer({"rating": [1.0, 5.0]}))


@pytest.fixture(scope="module")
def recommender():
    sizes = {"units": 5, "item_dim": 5, "num_layers": 1, "control_dim": 3}
    features = {"num_feedback": 2, "num_user_features": 3, "num_item_features": 2}
    model = HRNNMeta(num_items=5, **sizes | features)
    fill_drawn(model, 2)
    return Recommender(model, Vocabulary(RAW_IDS, [5, 4, 3, 2, 1]), schemas=SCHEMAS)


@pytest.fixture(scope="module")
def client(recommender, tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "recommender"
    export_saved_model(recommender, base, k=4)
    with Server(base) as server, Client(f"127.0.0.1:{server.port}") as client:
        yield client


def test_an_export_says_what_it_reads_and_how_that_is_encoded(recommender, tmp_path):
    folder = export_saved_model(recommender, tmp_path / "models", k=4)
    assert FeatureSchemas.load(folder / "assets.extra" / "features.toml") == SCHEMAS
    about = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["about"]
    assert about["context"] == {"at": None, "feedback": 2, "user_features": 3}


def same(mine, others):
    assert [item for item, _ in mine] == [item for item, _ in others]
    np.testing.assert_allclose([s for _, s in mine], [s for _, s in others], rtol=1e-5)


@pytest.mark.parametrize("gap", [0, 60, 90_000])
def test_lists_are_those_of_python(client, recommender, gap):
    at = HISTORY[-1][1] + gap
    same(
        client.recommend(HISTORY, k=2, at=at, **SAID),
        recommender.recommend(HISTORY, k=2, at=at, **SAID),
    )


def test_the_list_depends_on_the_time_and_that_of_the_last_event_is_the_default(client):
    last = HISTORY[-1][1]
    options = {"k": 4, "exclude_seen": False, **SAID}
    now, tomorrow = (client.recommend(HISTORY, at=last + gap, **options) for gap in (0, 90_000))
    assert client.recommend(HISTORY, **options) == now != tomorrow


def test_a_step_goes_on_whatever_was_asked_in_between(client):
    """Replay of three events, asked a day later, then the fourth event as a step."""
    events, (item, time) = HISTORY[:-1], HISTORY[-1]
    options = {"k": 4, "user_features": USER}
    _, state = client.replay(events, at=events[-1][1] + 99, feedback=FEEDBACK[:-1], **options)
    found, _ = client.step(item, time, state, at=time + 60, feedback=FEEDBACK[-1], **options)
    same(
        found,
        client.recommend(HISTORY, at=time + 60, exclude_seen=False, feedback=FEEDBACK, **options),
    )


def test_scores_and_short_histories(client, recommender):
    scores = client.score(HISTORY, ["ale", "gin"], at=HISTORY[-1][1] + 60, **SAID)
    listed = dict(client.recommend(HISTORY, at=HISTORY[-1][1] + 60, exclude_seen=False, **SAID))
    assert scores[0] == pytest.approx(listed.get("ale", scores[0]), rel=1e-5)
    with Client(client.address, max_history=2) as short:
        some = {"feedback": FEEDBACK[2:], "user_features": USER}
        mine = short.recommend(HISTORY, k=1, at=NOON + 9_999, **SAID)
        same(
            mine,
            recommender.recommend(
                HISTORY[2:], k=1, at=NOON + 9_999, **some, candidates=["gin", "ale"]
            ),
        )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"at": NOON, **SAID}, "`at` was 1700000000, but `history` has an event at"),
        ({"user_features": USER}, "`feedback` was not passed"),
        ({"feedback": FEEDBACK, "user_features": USER[:2]}, "shape"),
        ({"feedback": FEEDBACK, "user_features": USER * np.nan}, "NaN or infinity"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(client, said, message):
    with pytest.raises(ValueError, match=r".") as error:
        client.recommend(HISTORY, **said)
    assert message in str(error.value)


def test_the_graph_itself_refuses_a_time_before_the_last_event(client, monkeypatch):
    """Whoever asks without our client is told, too."""
    asking = client._asking._said

    def early(*arguments):
        said = asking(*arguments)
        return said | {"at": (said["at"][0] - 1, said["at"][1])}

    monkeypatch.setattr(client._asking, "_said", early)
    with pytest.raises(ServingError, match=r"`at` must not lie before the last event"):
        client.recommend(HISTORY, **SAID)
