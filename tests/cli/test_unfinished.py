"""The folder of a run that is not done: begun once, gone on with only by the same settings."""

import pytest

from hrec_tf.cli.unfinished import Unfinished

SETTINGS = {"seed": 3, "recipe": {"model": "hrnn-init", "optimizer": {"learning_rate": 0.1}}}


class Left(BaseException):
    """What ends a training that is not done."""


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs" / "a"


def begun(out, *, checkpoint=True):
    """Leaves a training as an interrupt does."""
    unfinished = Unfinished(out, SETTINGS, resume=False)
    with pytest.raises(Left), unfinished.kept_if_left():
        assert unfinished.tensorboard.is_dir()
        if checkpoint:
            unfinished.checkpoint.write_bytes(b"")
        raise Left
    return unfinished


def test_it_is_removed_when_the_run_is_done(out):
    with Unfinished(out, SETTINGS, resume=False).kept_if_left():
        assert (out.parent / "a.unfinished" / "config.toml").is_file()
    assert list(out.parent.iterdir()) == []


def test_it_is_removed_if_there_is_nothing_to_go_on_from(out):
    begun(out, checkpoint=False)
    assert list(out.parent.iterdir()) == []


def test_it_is_kept_if_it_was_left_and_gone_on_with(out, capsys):
    held = begun(out)
    assert held.checkpoint.is_file()
    assert f"is kept in {held.path}: the same command with --resume" in capsys.readouterr().err
    with Unfinished(out, SETTINGS, resume=True).kept_if_left():
        assert held.checkpoint.is_file()
    assert not held.path.exists()


def test_it_is_not_overwritten(out):
    begun(out)
    with pytest.raises(ValueError, match=r"is unfinished in .*Add --resume to go on with it, or"):
        Unfinished(out, SETTINGS, resume=False)


def test_without_one_there_is_nothing_to_resume(out):
    with pytest.raises(ValueError, match=r"`resume` was set, but there is no unfinished training"):
        Unfinished(out, SETTINGS, resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 4}, r"`seed` is 3 in the unfinished training .*, but 4 now"),
        (
            {"recipe": {"model": "hrnn-init", "optimizer": {"learning_rate": 0.2}}},
            r"`recipe.optimizer.learning_rate` is 0.1 in .*, but 0.2 now",
        ),
        ({"validation": True}, r"`validation` is 'nothing' in .*, but True now"),
        ({"recipe": {"model": "hrnn-init"}}, r"learning_rate` is 0.1 in .*, but 'nothing' now"),
    ],
)
def test_other_settings_are_refused_by_name(out, changes, message):
    begun(out)
    with pytest.raises(ValueError, match=message):
        Unfinished(out, SETTINGS | changes, resume=True)


def test_a_damaged_one_is_refused(out):
    held = begun(out)
    (held.path / "config.toml").write_text("seed =")
    with pytest.raises(ValueError, match=r"config.toml' is not a TOML file: .* begin anew"):
        Unfinished(out, SETTINGS, resume=True)
