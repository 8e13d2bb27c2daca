"""The client: what it sends, what it makes of the answers, and what it refuses to send."""

import asyncio
import inspect
import math
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2

from hrec_tf.schema import Recommendation
from hrec_tf.serving import Client, Server, ServingError, State, async_client, batches
from hrec_tf.serving.async_client import AsyncClient
from hrec_tf.serving.batches import pad, parts
from hrec_tf.serving.client import _Blocking
from hrec_tf.serving.metadata import read_metadata
from hrec_tf.user_history import read_history
from tests.serving import toy

pytestmark = pytest.mark.xdist_group("client")

NOON = 1_700_000_000


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A client of a model whose ids are whole numbers."""
    base = tmp_path_factory.mktemp("numbers")
    toy.write_toy(base, version=3, raw_ids=toy.NUMBERS)
    with Server(base) as server, Client(f"127.0.0.1:{server.port}") as client:
        yield client


def items(found):
    return [item for item, _ in found]


def test_lists_are_recommendations_best_first(client):
    found = client.recommend([("tea", NOON), ("jam", NOON + 60)])
    assert found == [
        Recommendation("rum", 14.0),
        Recommendation("gin", 3.0),
        Recommendation("ale", 2.0),
        Recommendation("ø", 1.0),
    ]
    assert all(type(item) is str and type(score) is float for item, score in found)
    assert client.recommend(["tea", "jam"], k=2) == found[:2]


def test_a_new_user_is_welcome_and_so_is_an_unknown_item(client):
    assert items(client.recommend()) == items(client.recommend(["never seen"])) == toy.TEXT[:4]


def test_places_without_an_item_are_dropped(client):
    assert items(client.recommend(toy.TEXT[:4])) == ["ale", "ø"]
    assert items(client.recommend(toy.TEXT[:4], exclude_seen=False))[0] == "ale"
    assert client.recommend(toy.TEXT) == []


def test_whole_numbers_come_back_as_such(numbers):
    found = numbers.recommend([(70, NOON), (np.int64(-5), NOON)])
    assert items(found) == [2**40, 3, 0, 9]
    assert all(type(item) is int for item in items(found))
    assert numbers.recommend(toy.NUMBERS) == []
    assert numbers.score([70], [-5, 4, 70]) == [15.0, -math.inf, 6.0]
    assert items(numbers.step(0, NOON)[0])[0] == 9


def test_a_batch_is_its_rows_in_parts_of_a_request(client, monkeypatch):
    monkeypatch.setattr(batches, "MAX_ROWS", 2)
    histories = [["tea"], [], [("gin", NOON)], toy.TEXT, ["nothing known"]]
    batch = client.recommend_batch(histories, k=3)
    assert batch == [client.recommend(history, k=3) for history in histories]
    assert client.recommend_batch([]) == []


@pytest.mark.parametrize(
    ("lengths", "requests"),
    [
        ([], []),
        ([0], [1]),
        ([5] * 32, [32]),
        ([5] * 65, [32, 32, 1]),
        ([2**14] * 40, [16, 16, 8]),
        ([2**14 + 1] * 20, [8, 8, 4]),
        ([5, 2**14 + 1, *[5] * 10], [8, 4]),
        ([3, 2**19, 3], [1, 1, 1]),
    ],
)
def test_requests_are_cut_by_rows_and_by_padded_events(lengths, requests):
    cut = list(parts(lengths))
    assert [rows.stop - rows.start for rows in cut] == requests
    assert [row for rows in cut for row in range(rows.start, rows.stop)] == [*range(len(lengths))]


def test_requests_of_a_batch_are_within_the_usual_limits_of_the_server():
    usual = {name: one.default for name, one in inspect.signature(Server).parameters.items()}
    assert usual["max_batch"] >= batches.MAX_ROWS
    assert usual["max_scores"] >= batches.MAX_ROWS * 2**20  # a million items
    assert usual["max_history"] >= batches.MAX_HISTORY == batches.bucket_of(batches.MAX_HISTORY)
    ids_times_and_rest = 2 * batches.MAX_CELLS + 2 * batches.MAX_ROWS
    assert ids_times_and_rest <= usual["max_elements"]
    with_ids_of_30_letters = batches.MAX_CELLS * (30 + 2 + 6)
    assert with_ids_of_30_letters <= usual["max_message_bytes"]


def test_long_histories_of_many_users_are_not_refused(client, monkeypatch):
    """The toy server reads 2000 elements at once: 7 rows of 128 events, not 50."""
    histories = [[item] * 100 for item in toy.TEXT * 8]
    monkeypatch.setattr(batches, "MAX_CELLS", 960)
    found = client.recommend_batch(histories, k=1, exclude_seen=False)
    follower = dict(zip(toy.TEXT, [*toy.TEXT[1:], toy.TEXT[0]], strict=True))
    assert [one[0].item for one in found] == [follower[history[0]] for history in histories]


def test_scores_are_those_of_the_candidates_in_their_order(client):
    assert client.score(["tea"], ["rum", "jam", "unknown", "jam"]) == [4.0, 15.0, -math.inf, 15.0]
    assert client.score([], ["tea"]) == [6.0]
    assert client.score(["tea"], []) == []


def test_steps_carry_the_state(client):
    found, state = client.step("tea", NOON)
    assert items(found)[0] == "jam"
    assert state.values.tolist() == [0, 1]
    assert state.info.tolist() == [NOON, 0, 0, toy.MODEL_NUMBER]
    found, state = client.step("rum", NOON, state, k=1)
    assert items(found) == ["gin"]
    assert state.values.tolist() == [0, 2]


@pytest.mark.parametrize(("events", "bucket"), [(0, 8), (8, 8), (9, 16), (100, 128), (600, 512)])
def test_histories_are_padded_to_buckets_and_the_newest_are_sent(client, events, bucket):
    """The toy's state says what came: width of the request, events of the row."""
    with Client(client.address, max_history=512) as one:
        _, state = one.replay([("tea", NOON + second) for second in range(events)])
    assert state.values.tolist() == [bucket, min(events, 512)]
    assert not events or state.info[0] == NOON + events - 1


def test_padding_is_no_item_and_the_newest_events_are_kept():
    histories = [[("tea", 5), ("jam", 6), ("rum", 7)], [("gin", 9)], []]
    sent = pad([read_history(h) for h in histories], ["a", "b", "c"], "string", 2)
    values = {name: array.tolist() for name, (array, _) in sent.items()}
    rest = [b""] * 6
    assert values["item_ids"] == [[b"jam", b"rum", *rest], [b"gin", b"", *rest], [b"", b"", *rest]]
    assert values["timestamps"] == [[6, 7] + [0] * 6, [9] + [0] * 7, [0] * 8]
    assert values["lengths"] == [2, 1, 0]


def test_items_that_are_too_old_to_be_sent_are_still_left_out(client):
    with Client(client.address, max_history=1) as short:
        assert items(short.recommend(["tea", "jam"], k=3)) == ["rum", "gin", "ale"]
        assert items(short.recommend(["tea", "jam"], exclude_seen=False))[:2] == ["rum", "tea"]


def test_a_list_is_not_shorter_for_items_that_are_too_old_to_be_sent(client):
    """Four of six items were seen, three of them too long ago; the list has four places."""
    seen, rest = toy.TEXT[:4], ["ale", "ø"]
    with Client(client.address, max_history=1) as short:
        assert items(short.recommend(seen)) == rest
        histories = [seen, ["tea"], [], seen[::-1], toy.TEXT]
        assert short.recommend_batch(histories) == client.recommend_batch(histories)
        assert short.recommend_batch(histories, k=1) == client.recommend_batch(histories, k=1)
        # The state is of the answer that the list comes from: the toy counts events.
        assert [short.replay(seen, k=k)[1].values[1] for k in (1, 2)] == [1, 4]


def test_of_a_history_no_more_is_sent_than_a_server_reads(toy_base, monkeypatch):
    monkeypatch.setattr(async_client, "MAX_HISTORY", 8)
    with (
        Server(toy_base, max_history=8) as server,
        Client(f"127.0.0.1:{server.port}", max_history=1) as short,
        Client(short.address) as long,
    ):
        assert items(short.recommend(toy.TEXT[:4] * 5)) == ["ale", "ø"]
        with pytest.raises(ServingError, match=r"rows of 32 events, but at most 8 are read"):
            long.recommend(toy.TEXT[:4] * 5)


def test_metadata_and_status(client, numbers):
    metadata = client.metadata()
    assert metadata[:5] == ("recommender", 1, "string", toy.K, toy.STATE_SIZE)
    assert metadata.signatures["step"]["inputs"]["state_info"] == ("int64", (-1, 4))
    assert numbers.metadata()[:3] == ("recommender", 3, "int64")
    assert numbers.status() == {3: "AVAILABLE"}


class Forgetful(_Blocking):
    """Its metadata are gone after two looks, as if another thread noticed a new version."""

    @property
    def _metadata(self):
        self._looks += 1
        return self._held if self._looks <= 2 else None

    @_metadata.setter
    def _metadata(self, value):
        self._held, self._looks = value, 0


def test_threads_may_forget_the_metadata_of_each_other(client):
    with Client(client.address) as one:
        one._asking = Forgetful(client.address)
        one.metadata()
        assert items(one.recommend(["tea"], k=1)) == ["jam"]


def test_a_new_version_is_noticed(tmp_path, client):
    """Another server behind the same address, with another version and other lists."""
    toy.write_toy(tmp_path, version=2, k=2)
    with Server(tmp_path) as first:
        port = first.port
        with Client(f"127.0.0.1:{port}") as one:
            assert one.metadata().k == 2
            first.stop()
            toy.write_toy(tmp_path, version=12, k=5)
            with Server(tmp_path, port=port):
                for _ in range(20):  # the connection is made anew after a moment
                    try:
                        one.recommend()
                        break
                    except ServingError as error:
                        assert error.code == "UNAVAILABLE"
                        time.sleep(0.2)
                assert one.metadata().version == 12
                assert len(one.recommend()) == 5


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda c: c.recommend(["tea", 5]),
            TypeError,
            r"`history` has the item 5 of type int \(row 1\), but items of this model are text\. "
            r"Pass them as in the log that it was trained on, e\.g\. '5'\.",
        ),
        (
            lambda c: c.recommend_batch([["tea"], [None]]),
            TypeError,
            r"`histories\[1\]` has the item None of type NoneType \(row 0\)",
        ),
        (
            lambda c: c.recommend(["\udc80"]),
            ValueError,
            r"`history` has the item '\\udc80' \(row 0\), which is no Unicode text",
        ),
        (
            lambda c: c.recommend([("tea", 9), ("jam", 8)]),
            ValueError,
            r"Times of `history` go back at row 1 \(8 after 9\)",
        ),
        (
            lambda c: c.recommend_batch([[], [("tea", 9), ("jam", 8)]]),
            ValueError,
            r"Times of `histories\[1\]` go back at row 1",
        ),
        (lambda c: c.recommend([("tea", 1.5)]), TypeError, r"has the time 1\.5 \(row 0\), but .*"),
        (
            lambda c: c.recommend([("tea", NOON * 1000)]),
            ValueError,
            r"has the time 1700000000000 \(row 0\).*Divide milliseconds by 1000",
        ),
        (lambda c: c.recommend("tea"), TypeError, "`history` was 'tea', but must be a list"),
        (
            lambda c: c.recommend(k=5),
            ValueError,
            r"`k` was 5, but the model was exported with lists of 4\. Pass at most 4, or export",
        ),
        (lambda c: c.recommend(k=0), ValueError, r"`k` must be a positive int, but was 0"),
        (lambda c: c.step("tea", NOON * 1000), ValueError, r"`event` has the time 1700000000000"),
        (lambda c: c.step(5, NOON), TypeError, r"`event` has the item 5 of type int \(row 0\)"),
        (lambda c: c.score(["tea"], "tea"), TypeError, "`candidates` was 'tea', but must be a"),
        (lambda c: c.score(["tea"], ["tea", 1]), TypeError, r"`candidates` has the item 1 .*row 1"),
    ],
)
def test_what_cannot_be_right_is_not_sent(client, call, error, message):
    with pytest.raises(error, match=message):
        call(client)


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ("70", TypeError, r"`history` has the item '70' of type str .* are whole numbers\."),
        (True, TypeError, r"`history` has the item True of type bool"),
        (7.0, TypeError, r"`history` has the item 7\.0 of type float .*int\(item\)"),
        (2**63, ValueError, r"`history` has the item 9223372036854775808 .* are int64"),
    ],
)
def test_ids_of_another_type_are_not_sent(numbers, item, error, message):
    with pytest.raises(error, match=message):
        numbers.recommend([item])


def test_a_state_that_cannot_be_right_is_not_sent(client):
    _, state = client.step("tea", NOON)
    with pytest.raises(ValueError, match=f"`timestamp` was 7, but `state` ended .* at {NOON}"):
        client.step("tea", 7, state)
    message = r"`state` has \(3,\) values and \(4,\) facts, but this model's has \(2,\) and \(4,\)"
    with pytest.raises(ValueError, match=message):
        client.step("tea", NOON, State(np.zeros(3, np.float32), state.info))


def test_a_model_without_a_step_is_asked_for_lists_and_scores_alone(tmp_path):
    toy.write_toy(tmp_path, has_step=False)
    with Server(tmp_path) as server, Client(f"127.0.0.1:{server.port}") as one:
        assert items(one.recommend(["tea"], k=2)) == ["jam", "rum"]
        assert one.score(["tea"], ["jam"]) == [15.0]
        assert one.metadata().state_size == 0
        assert set(one.metadata().signatures) == {"recommend", "score", "serving_default"}
        message = r"has the signatures recommend, .* only: it reads .* so far to `recommend`\."
        with pytest.raises(
            ValueError, match=f"`step` was called, but 'recommender' on .* {message}"
        ):
            one.step("tea", NOON)
        with pytest.raises(ValueError, match=f"`replay` was called, but .* {message}"):
            one.replay(["tea"])


def test_a_version_with_other_signatures_is_noticed_where_it_refuses(tmp_path):
    """A client that knew the version before asks anew, whichever of the two has a step."""
    toy.write_toy(tmp_path)
    with Server(tmp_path) as server:
        port = server.port
        with Client(f"127.0.0.1:{port}") as one:
            _, state = one.replay(["tea"])
            server.stop()
            toy.write_toy(tmp_path, version=2, has_step=False)
            with Server(tmp_path, port=port):
                with pytest.raises(ServingError, match=r'FAILED_PRECONDITION: .* key "step" not f'):
                    one.step("jam", NOON, state)
                with pytest.raises(ValueError, match="`step` was called, but"):
                    one.step("jam", NOON, state)
            toy.write_toy(tmp_path, version=3)
            with Server(tmp_path, port=port):
                assert items(one.step("jam", NOON)[0])[0] == "rum"


def test_a_model_without_a_signature_says_so(client):
    """The toy has neither filters nor vectors."""
    with pytest.raises(ValueError, match=r"or `deny` was called, .* earlier hrec_tf"):
        client.recommend(["tea"], deny=["jam"])
    with pytest.raises(ValueError, match=r"`encode` was called, but .* are no inner products"):
        client.encode(["tea"])


def test_errors_of_the_server_tell_code_and_reason(client):
    _, state = client.step("tea", NOON)
    with pytest.raises(ServingError, match="`state` comes from another model") as caught:
        client.step("tea", NOON, state._replace(info=state.info + np.eye(4, dtype=int)[3]))
    assert caught.value.code == "INVALID_ARGUMENT"
    assert caught.value.details.startswith("`state` comes from another model. Rows: ")
    with (
        Client(client.address, "other") as other,
        pytest.raises(ServingError, match="NOT_FOUND: Servable not found for request: other"),
    ):
        other.recommend()
    with (
        Client("127.0.0.1:1") as nobody,
        pytest.raises(ServingError, match=r"^127.0.0.1:1 answered UNAVAILABLE.*hrec serve DIR"),
    ):
        nobody.status()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"address": "localhost"}, "`address` was 'localhost', but must be host:port"),
        ({"address": 8500}, "`address` was 8500, but must be host:port"),
        ({"address": "8500"}, "`address` was '8500', but must be host:port"),
        ({"address": ":8500"}, "`address` was ':8500', but must be host:port"),
        ({"address": "localhost:"}, "`address` was 'localhost:', but must be host:port"),
        ({"address": "localhost:٣"}, "`address` was 'localhost:٣', but must be host:port"),
        ({"timeout": 0}, "`timeout` must be a finite number of at least 0.001, but was 0"),
        ({"max_history": 0}, "`max_history` must be a positive int, but was 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Client(**{"address": "127.0.0.1:1"} | arguments)


def test_another_kind_of_model_is_refused():
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    held = get_model_metadata_pb2.SignatureDefMap()
    held.signature_def["serving_default"].inputs["x"].dtype = tf.float64.as_datatype_enum
    response.metadata["signature_def"].Pack(held)
    with pytest.raises(ValueError, match="'m' on a:1 has the signatures serving_default, but a re"):
        read_metadata("a:1", "m", response)


@pytest.mark.integration
def test_a_program_that_asks_does_not_import_tensorflow(client):
    code = f"""
import sys
from hrec_tf.serving import Client
with Client({client.address!r}) as client:
    print([item for item, _ in client.recommend([("tea", 5)], k=2)])
print([name for name in ("tensorflow", "keras", "polars", "scipy") if name in sys.modules])
"""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines() == ["['jam', 'rum']", "[]"]


def test_a_batch_of_steps_is_the_steps_of_its_rows(client):
    _, state = client.step("tea", NOON)
    events, states = [("jam", NOON + 5), ("rum", NOON), ("ø", NOON + 7)], [state, None, state]
    alone = [client.step(*event, one, k=2) for event, one in zip(events, states, strict=True)]
    together = client.step_batch(events, states, k=2)
    assert [found for found, _ in together] == [found for found, _ in alone]
    for (_, after), (_, expected) in zip(together, alone, strict=True):
        assert [part.tolist() for part in after] == [part.tolist() for part in expected]
    assert client.step_batch([], []) == []
    with pytest.raises(ValueError, match="given 3 events, 1 states and 3 rows of feedback, but"):
        client.step_batch(events, [state])


def test_in_a_loop_the_same_is_asked_and_answered(client):
    history = [("tea", NOON), ("gin", NOON + 60)]

    async def ask():
        asked = AsyncClient(client.address, version=1)
        found = await asyncio.gather(
            asked.recommend(history, k=2),
            asked.recommend_batch([history, []]),
            asked.score(history, ["jam", "ale"]),
            asked.status(),
            asked.metadata(),
        )
        best, state = await asked.replay(history)
        after, _ = await asked.step("rum", NOON + 90, state)
        with pytest.raises(ValueError, match="`k` was 9, but the model was exported with lists"):
            await asked.recommend(history, k=9)
        await asked.close()
        gone = AsyncClient(client.address, version=7)
        with pytest.raises(ServingError, match="recommender version 7"):
            await gone.recommend(history)
        await gone.close()
        return [*found, best, after]

    best, state = client.replay(history)
    assert asyncio.run(ask()) == [
        client.recommend(history, k=2),
        client.recommend_batch([history, []]),
        client.score(history, ["jam", "ale"]),
        client.status(),
        client.metadata(),
        best,
        client.step("rum", NOON + 90, state)[0],
    ]


def test_a_pinned_version_answers_or_nothing_does(client):
    with Client(client.address, version=1) as pinned:
        assert pinned.recommend(["tea"]) == client.recommend(["tea"])
        assert pinned.metadata() == client.metadata()
    with Client(client.address, version=2) as gone:
        for ask in (gone.metadata, lambda: gone.recommend(["tea"])):
            with pytest.raises(ServingError, match="recommender version 2") as caught:
                ask()
            assert caught.value.code == "NOT_FOUND"
        gone._asking._metadata = client.metadata()
        with pytest.raises(ServingError, match="recommender version 2"):
            gone.step("tea", NOON)
    with pytest.raises(ValueError, match="`version` must be an int of at least 0, but was -1"):
        Client(client.address, version=-1)
