"""Runs us and a peer in turn, each in a process of its own."""

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from typing import Any

Speeds = dict[str, float]


def said_by(command: list[str], **environment: str) -> str:
    """What a command prints, run without a GPU.

    Args:
        command: program and arguments.
        **environment: variables set for it.

    Raises:
        RuntimeError: it fails.
    """
    # OpenBLAS is left to find out itself which processor it runs on.
    unset = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    given = {name: value for name, value in os.environ.items() if name not in unset}
    given |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"} | environment
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[:2]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def told_by(command: list[str], **environment: str) -> Any:
    """What the last line that a command prints says, as JSON; see `said_by`."""
    return json.loads(said_by(command, **environment).splitlines()[-1])


def speed_told_by(name: str, command: list[str], examples: int) -> Speeds:
    """The examples per second that a command tells, if it learnt from as many as are asked for."""
    told = told_by(command)
    if told["examples"] != examples:
        raise RuntimeError(f"{command[:2]} learnt from {told['examples']} examples, not {examples}")
    return {name: told["speed"]}


def in_turn(
    rounds: int,
    names: Iterable[str],
    ours: Callable[[str], Speeds],
    theirs: Callable[[str], Speeds],
) -> dict[str, tuple[list[float], list[float]]]:
    """Returns the speeds of each part, ours and the peer's, one of each round.

    Args:
        rounds: how often.
        names: of the settings; both are measured in each before the next.
        ours: gives the speeds of a setting's parts.
        theirs: likewise, of the peer.
    """
    found: dict[str, tuple[list[float], list[float]]] = {}
    for number in range(1, rounds + 1):
        for name in names:
            mine, peer = ours(name), theirs(name)
            for part, speed in mine.items():
                of_us, of_peer = found.setdefault(part, ([], []))
                of_us.append(speed)
                of_peer.append(peer[part])
                ratio = speed / peer[part]
                print(f"{number} {part:34} {speed:10,.0f} {peer[part]:10,.0f} {ratio:6.2f}")
    return found
