"""A small log with a pattern that can be learned: items follow one another in a ring."""

from pathlib import Path

from hrec_tf.data import Histories

NUM_ITEMS = 20
COLUMNS = {"user": "who", "item": "what", "timestamp": "when", "session": "basket"}
OPTIONS = [part for name, column in COLUMNS.items() for part in (f"--{name}", column)]


def ring_sessions(num_users=12, num_sessions=6, length=5):
    """Users -> sessions -> item ids 1..20; each session walks on from where its user is."""
    return [
        [
            [(user * 7 + session + event) % NUM_ITEMS + 1 for event in range(length)]
            for session in range(num_sessions)
        ]
        for user in range(num_users)
    ]


def ring_histories(**sizes):
    return Histories.from_lists(ring_sessions(**sizes), num_items=NUM_ITEMS)


def write_ring_log(path, **sizes) -> Path:
    """Writes the log as a CSV with columns who, what, when, basket."""
    lines = ["who,what,when,basket"]
    time = 1_500_000_000
    for user, sessions in enumerate(ring_sessions(**sizes)):
        for session, items in enumerate(sessions):
            time += 10_000
            for item in items:
                time += 60
                lines.append(f"u{user},i{item},{time},{user * 100 + session}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
