"""`hrec serve RUN --demo`: what the page works on."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hrec_tf.cli import console

if TYPE_CHECKING:
    from hrec_tf.data.log_source import PreparedLog

PORT = 8080
EXAMPLES = 8
LONGEST_EXAMPLE = 40
"""Events of an example, its newest ones: more do not fit a screen."""


def serve(path: str, *, address: str, port: int | None, ignored: Mapping[str, bool]) -> None:
    """Serves the page of a run, or of what `Recommender.save` wrote, until it is interrupted.

    Args:
        path: the folder.
        address, port: see `Demo`; the usual port if None.
        ignored: option of the gRPC server -> whether it was given.

    Raises:
        FileNotFoundError: no such folder, or one that is not whole.
        ValueError: exported versions, a run that has no weights, an option that is ignored, or no
            aiohttp.
        OSError: the port is taken.
    """
    for name in (name for name, is_given in ignored.items() if is_given):
        raise ValueError(
            f"`{name}` was given with --demo, which would ignore it: a page is served, and no "
            "gRPC. Leave one of them out; --http-port is the port of the page."
        )
    _refuse_exports(path)
    console.import_tensorflow()
    from hrec_tf.recommender import Recommender
    from hrec_tf.serving.demo import Demo, require_aiohttp

    console.require(require_aiohttp)
    with console.Progress().watch(f"loading {path}"):
        demo = Demo(
            Recommender.load(path),
            name=Path(path).resolve().name,
            examples=_examples_of(path),
            address=address,
            port=PORT if port is None else port,
        )
        demo.start()
    asked_to_stop = console.stop_signals()
    print(f"Open {demo.url} in a browser; Ctrl-C ends it.", flush=True)
    console.wait_for(asked_to_stop)
    demo.stop()


def example_histories(log: "PreparedLog") -> list[list[tuple[Any, int]]]:
    """Returns the newest events of a few users of the test part; none of a log without times."""
    if not log.split.test.has_times:
        return []
    test = log.test
    users = np.linspace(0, test.num_users - 1, min(EXAMPLES, test.num_users)).astype(int)
    histories = []
    for user in users:
        begin, end = test.user_offsets[user : user + 2]
        events = slice(max(begin, end - LONGEST_EXAMPLE), end)
        raw_ids = log.vocabulary.decode(test.item_ids[events]).tolist()
        histories.append(list(zip(raw_ids, test.timestamps[events].tolist(), strict=True)))
    return histories


def _examples_of(path: str) -> list[list[tuple[Any, int]]]:
    """Those of a run's log, where the log is at hand."""
    from hrec_tf import recommender_files, runs

    if (Path(path) / recommender_files.SETTINGS).is_file():
        return []
    try:
        return example_histories(runs.load(path).load_log())
    except (ValueError, OSError) as error:
        print(f"Note: the page has no example users. {error}", file=sys.stderr)
        return []


def _refuse_exports(path: str) -> None:
    if Path(path).is_dir() and any(place.name.isdecimal() for place in Path(path).iterdir()):
        raise ValueError(
            f"{path!r} holds exported versions, whose graphs have one length of list and one "
            "session rule, without descriptions and explanations, but the page shows all of "
            "these. Pass the run that was exported."
        )
