"""`hrec simulate`: histories of which it is known how well they can be predicted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrec_tf.cli import console

if TYPE_CHECKING:
    import polars as pl

    from hrec_tf.data.histories import Histories

app = typer.Typer(
    no_args_is_help=True,
    help="Simulated logs, of which it is known how well they can be predicted.",
)


@app.command()
def sessions(
    out: Annotated[str, typer.Option(help="CSV to write.")],
    num_users: Annotated[int, typer.Option(help="Users.")] = 1_000,
    max_sessions: Annotated[int, typer.Option(help="Most sessions of a user.")] = 5,
    max_len_exclusive: Annotated[
        int, typer.Option(help="One more than the most events of a session.")
    ] = 6,
    copies: Annotated[
        int | None,
        typer.Option(help="Items of the variant in which a session's second item returns."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Users whose sessions are runs of one item: who sees sessions knows the next item."""
    from hrec_tf.data import simulations

    lengths: dict[str, Any] = {"max_sessions": max_sessions, "max_len_exclusive": max_len_exclusive}
    histories = simulations.hierarchical_sessions(num_users, **lengths, copies=copies, seed=seed)
    _write({out: simulations.to_frame(histories)})
    bounds = {}
    if copies is None:
        bounds = {
            "sessions known": 1.0,
            "blind, ends known": simulations.blind_bound(**lengths),
            "blind, endless": simulations.blind_bound(**lengths, ends_are_known=False),
        }
    _print(histories, out, bounds, as_json=json)


@app.command()
def bets(
    out: Annotated[str, typer.Option(help="CSV to write.")],
    num_users: Annotated[int, typer.Option(help="Gamblers.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Gamblers whose next bet is one up or down, as the outcome of the last one says.

    Beside the log, <out>.items.csv has the parity of each bet, and <out>.users.csv the first bet.
    """
    from hrec_tf.data import simulations

    simulated = simulations.gamblers_bets(num_users, seed=seed)
    histories, stem = simulated.histories, str(Path(out).with_suffix(""))
    tables = (out, f"{stem}.items.csv", f"{stem}.users.csv")
    _write(dict(zip(tables, simulated.to_frames(), strict=True)))
    bounds = {
        "sequence": simulations.bets_bound(),
        "sequence, user": simulations.bets_bound(user=True),
        "sequence, feedback": simulations.bets_bound(feedback=True),
        "sequence, user, feedback": simulations.bets_bound(user=True, feedback=True),
    }
    _print(histories, out, bounds, as_json=json)


def _write(tables: "dict[str, pl.DataFrame]") -> None:
    from hrec_tf.data.atomic_files import write_whole

    for path, table in tables.items():
        write_whole(Path(path), table.write_csv().encode())


def _print(histories: "Histories", out: str, bounds: dict[str, float], *, as_json: bool) -> None:
    counts = {"events": histories.num_events, "users": histories.num_users}
    if as_json:
        console.print_json({"path": out, **counts, "bounds": bounds})
        return
    print(f"{counts['events']:,} events of {counts['users']:,} users written to {out}")
    for known, bound in bounds.items():
        print(f"lowest perplexity, {known}: {bound:.3f}")
