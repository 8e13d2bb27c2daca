"""Files that a command is to write: what would fail at the end is refused at the beginning."""

from pathlib import Path


def require_free(name: str, path: str, *, kind: str) -> None:
    """Raises if a file cannot be written.

    Args:
        name: of the option.
        path: its value.
        kind: what is written, e.g. "reports".
    """
    file = Path(path)
    if file.exists():
        raise ValueError(
            f"`{name}` was {path!r}, which exists, and {kind} are never overwritten. Choose "
            "another name, or remove that file."
        )
    if not file.parent.is_dir():
        raise ValueError(
            f"`{name}` was {path!r}, but there is no folder {str(file.parent)!r}. Make it "
            "first, or choose another place."
        )
