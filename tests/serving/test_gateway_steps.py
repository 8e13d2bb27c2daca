"""Steps that go to the model together: each gets its own answer, or its own error."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hrec_tf.serving import Client, ServingError
from hrec_tf.serving.gateway.records import Event
from hrec_tf.serving.gateway.steps import Steps
from tests.serving import toy
from tests.serving.gateway_parts import NOON, Switch


@pytest.fixture
def slow(toy_server):
    """A client whose questions come late, so that others wait meanwhile."""
    switch = Switch(toy_server.port)
    with Client(f"127.0.0.1:{switch.port}", timeout=20) as client:
        client.metadata()
        switch.delay = 0.2
        yield client
    switch.close()


def test_steps_that_go_together_get_what_each_gets_alone(slow, monkeypatch):
    sizes = []
    together = slow.step_batch

    def counted(events, *rest, **named):
        sizes.append(len(events))
        return together(events, *rest, **named)

    monkeypatch.setattr(slow, "step_batch", counted)
    _, state = slow.step("tea", NOON)
    other = state._replace(info=state.info + np.eye(4, dtype=np.int64)[3])
    steps = Steps()

    def best(row, state):
        found, after = steps.step(slow, Event(toy.TEXT[row % 6], NOON + row), state)
        return found[0].item, int(after.info[0])

    expected = [(toy.TEXT[(row + 1) % 6], NOON + row) for row in range(20)]
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(best, range(20), [state] * 20)) == expected
        assert max(sizes) > 2
        asked = [pool.submit(best, row, other if row == 15 else state) for row in range(20)]
        with pytest.raises(ServingError, match="`state` comes from another model"):
            asked.pop(15).result()
        assert [one.result() for one in asked] == [*expected[:15], *expected[16:]]
    steps.close()
