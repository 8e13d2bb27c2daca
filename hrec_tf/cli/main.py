"""`hrec`: its commands, and what it says when something is wrong."""

import os
import sys
import traceback
from typing import Annotated

import typer

from hrec_tf import __version__, checks
from hrec_tf.cli import (
    add_items,
    compare,
    count_on,
    data,
    evaluate,
    explain,
    export,
    gateway,
    quickstart,
    recommend,
    serve,
    simulate,
    train,
    tune,
)

# Typer brings its own copy of Click, or uses the one beside it: the class, which stands for all
# that may be wrong with a command line, is asked of Typer.
CommandError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="hrec",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Hierarchical recurrent recommenders: from an event log to an honest comparison.",
)
app.add_typer(data.app, name="data")
app.add_typer(simulate.app, name="simulate")
app.command(name="train")(train.train)
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="compare")(compare.compare)
app.command(name="tune")(tune.tune)
app.command(name="recommend")(recommend.recommend)
app.command(name="add-items")(add_items.add_items)
app.command(name="count-on")(count_on.count_on)
app.command(name="explain")(explain.explain)
app.command(name="export")(export.export)
app.command(name="serve")(serve.serve)
app.command(name="gateway")(gateway.gateway)
app.command(name="quickstart")(quickstart.quickstart)

_SHOW_TRACEBACK = "HREC_TRACEBACK"

INTERRUPTED = 130
"""Exit status of a command that the user stopped."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit()


@app.callback()
def hrec(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Runs before every command; its own help text is the app's."""


def main(arguments: list[str] | None = None) -> int:
    """Runs `hrec` and returns its exit status: 0 only if what was asked for was done.

    1: it could not be done; 2: the command line itself is wrong; 130: interrupted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        status = int(app(args=arguments, standalone_mode=False, prog_name="hrec") or 0)
    except CommandError as error:
        _complain(_usage_message(error))
        return int(getattr(error, "exit_code", 2))
    except (typer.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    except (ValueError, TypeError, OSError, FloatingPointError, RuntimeError) as error:
        if os.environ.get(_SHOW_TRACEBACK):
            traceback.print_exc()
        else:
            _complain(f"Error: {error}")
        return 1
    if status == INTERRUPTED:  # Typer may have turned the interrupt into this status itself
        _complain("Interrupted; no result was written.")
    return status


def _usage_message(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "hrec")
    message = str(error.format_message())  # type: ignore[attr-defined]
    option = getattr(error, "option_name", None)
    if option is not None and context is not None and message.startswith("No such option"):
        known = [name for parameter in context.command.params for name in parameter.opts]
        named = [name for name in known if name.startswith("--")]
        message = f"`{option}` is no option of `{command}`. {checks.did_you_mean(option, named)}"
    return f"Error: {message}\nSee `{command} --help`."


def _complain(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
