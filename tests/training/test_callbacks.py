"""Progress: when it shows, and whether its arithmetic is right."""

import pytest

from hrec_tf.fitting import train
from hrec_tf.recipe import Recipe
from hrec_tf.training import TrainingProgress, print_status
from tests.reference.tiny_log import ring_histories


def run(progress, chunks, *, epochs=2, clock):
    """Plays the calls that `fit` makes: one (seconds, events so far, loss) per chunk."""
    progress.set_params({"epochs": epochs})
    progress.on_train_begin()
    for epoch in range(epochs):
        progress.on_epoch_begin(epoch)
        for seconds, events, loss in chunks:
            clock[0] += seconds
            logs = {"events": float(events), "loss": loss}
            progress.on_train_batch_end(0, logs)
        progress.on_epoch_end(epoch, logs)


def statuses(chunks, **options):
    clock, shown = [0.0], []
    progress = TrainingProgress(100, show=shown.append, clock=lambda: clock[0], **options)
    run(progress, chunks, clock=clock)
    return shown


def test_nothing_is_shown_within_two_seconds():
    assert statuses([(0.4, 50, 0.5), (0.4, 100, 0.5)]) == []


def test_speed_and_time_left_leave_the_first_chunk_out():
    # The first chunk takes 8 s of compilation; then 50 events take 2 s.
    first, *_ = statuses([(8.0, 50, 0.7), (2.0, 100, 0.6)], every=1.0)[1:]
    assert (first.epoch, first.epochs, first.events_done) == (1, 2, 100)
    assert first.events_per_second == pytest.approx(50 / 2)
    # 100 of 200 events are left, at 25 per second.
    assert first.seconds_left == pytest.approx(100 / 25)
    assert first.to_text() == "epoch 1/2   50%  25 events/s  4 s left  loss 0.6000"


def test_the_end_of_an_epoch_is_always_shown():
    shown = statuses([(3.0, 50, 0.7), (3.0, 100, 0.6)], every=60.0)
    assert [(status.epoch, status.epoch_ended) for status in shown] == [(1, True), (2, True)]
    assert shown[-1].share == 1.0


def test_unknown_speed_is_left_out(capsys):
    clock, shown = [0.0], []
    progress = TrainingProgress(100, show=shown.append, clock=lambda: clock[0])
    run(progress, [(3.0, 100, 0.5)], epochs=1, clock=clock)
    print_status(shown[0])
    assert capsys.readouterr().err == "epoch 1/1  100%  loss 0.5000\n"


@pytest.mark.integration
def test_it_counts_what_fit_counts():
    shown = []
    histories = ring_histories(num_users=3)
    recipe = Recipe.load("quadrana2017", "gru4rec").with_changes({"num_lanes": 2, "epochs": 2})
    progress = TrainingProgress(histories.num_pairs, show=shown.append, every=0.0, after=0.0)
    train(recipe, histories, seed=0, callbacks=[progress])
    assert shown[0].events_done == histories.num_pairs
    assert shown[-1].events_done == shown[-1].events_in_all == 2 * histories.num_pairs


def test_events_per_epoch_must_be_positive():
    with pytest.raises(ValueError, match=r"`events_per_epoch` must be a positive int, but was 0"):
        TrainingProgress(0)
