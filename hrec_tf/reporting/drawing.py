"""What every figure is made with: colours, a canvas, a legend, and SVG that stands in a page.

Text stays text, in the page's own font; sizes are in CSS pixels. Nothing global is touched: no
pyplot, and the user's Matplotlib settings neither count nor change.
"""

import html
import io
import re
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib
import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDTH = 440
"""Narrow enough to stay legible on a telephone, where a figure fills the width."""
MAX_LABEL = 26

INK, QUIET, GRID = "#22262e", "#5f6673", "#e3e6ea"
# Okabe and Ito's colours, which people who are colour-blind tell apart.
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b58900", "#333333")

_SETTINGS = {
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "grid.color": GRID,
    "svg.fonttype": "none",
    "svg.hashsalt": "hrec_tf",
    "text.color": INK,
    # A name may hold a dollar sign.
    "text.parse_math": False,
    "xtick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.color": QUIET,
    "ytick.labelcolor": INK,
}
_WITHOUT_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def settings() -> AbstractContextManager[None]:
    """The settings that a figure is made under, as a context."""
    return matplotlib.style.context(["default", _SETTINGS])


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns a figure of that many pixels, and its one part."""
    # 72 dots per inch make a point, a pixel of the SVG, and a pixel of the page the same.
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Puts a legend above all parts of a figure."""
    figure.legend(
        handles=list(handles),
        loc="outside upper right",
        ncols=min(3, len(handles)),
        frameon=False,
        fontsize=10.5,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def to_svg(figure: Figure, *, name: str, title: str, about: str) -> str:
    """Returns a figure as an SVG element.

    Args:
        figure: made by `canvas`, inside `settings`.
        name: unique in its page.
        title: what it shows.
        about: its numbers, for those who do not see it.
    """
    written = io.StringIO()
    with warnings.catch_warnings():
        # The reader's browser has the glyphs that Matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(written, format="svg", metadata=_WITHOUT_METADATA)
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    inner = written.getvalue().partition("<svg")[2].partition(">")[2]
    inner = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", inner, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', inner))
    inner = re.sub(r"<[^>]*>", lambda tag: _own_tag(tag[0], name, used), inner)
    inner = re.sub(r">\s+<", "><", inner)
    return (
        f'<svg class="figure" id="{name}" role="img" aria-labelledby="{name}-title {name}-about" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-about">{html.escape(about)}</desc>{inner.strip()}'
    )


def _own_tag(tag: str, name: str, used: set[str]) -> str:
    """A tag as it stands in a page, where ids hold for all figures and the font is the page's."""
    tag = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag)
    tag = tag.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    return re.sub(r"font-family: [^;]*; ", "", tag)


def cut(label: str) -> str:
    """Returns a label that has room beside a figure."""
    return label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…"
