"""Figures as text inside a page: what is drawn, and names that do not clash."""

import re
from xml.etree import ElementTree

import matplotlib
import pytest

from hrec_tf.reporting.figures import Row, curve_figure, group_figure, interval_figure

ODD = '<b>$x_1$</b> & "id="q"'
ROWS = [Row(ODD, 0.1, 0.05, 0.2, trained=False), Row("HRNN", 0.3, 0.25, 0.35, trained=True)]
FIGURES = {
    "intervals": lambda name: interval_figure(ROWS, name=name, metric="Recall@5"),
    "groups": lambda name: group_figure(
        {"short": {"A": 0.1, ODD: 0.3}, "long": {"A": 0.2, ODD: float("nan")}},
        name=name,
        metric="MRR@5",
        title="MRR by history",
    ),
    "curves": lambda name: curve_figure(
        {"seed 0": [3.0, 2.0], "seed 1": [2.5]}, name=name, quantity="loss", title=ODD
    ),
}


def drawn(name):
    return ElementTree.fromstring(FIGURES[name](name))


def texts(svg):
    return [element.text for element in svg.iter("text")]


def marks(svg, color):
    """Places of the marks of a colour, from left to right and from top to bottom."""
    found = [use for use in svg.iter("use") if f"fill: {color}" in use.get("style", "")]
    return [(float(use.get("x")), float(use.get("y"))) for use in found]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_whole_and_scales(name):
    svg = drawn(name)
    assert svg.get("role") == "img"
    box = [float(number) for number in svg.get("viewBox").split()]
    assert box == [0, 0, float(svg.get("width")), float(svg.get("height"))]
    described = {element.get("id"): element.text for element in svg}
    assert all(described[part] for part in svg.get("aria-labelledby").split())
    assert ODD in texts(svg)
    assert "font-family" not in FIGURES[name](name)


@pytest.mark.parametrize("name", FIGURES)
def test_names_inside_are_used_and_are_the_figures_own(name):
    text = FIGURES[name](name)
    ids = re.findall(r' id="([^"]+)"', re.sub(r">[^<]*<", "><", text))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert len(ids) == len(set(ids)) > 2
    assert all(one == name or one.startswith(f"{name}-") for one in ids)
    assert set(used) <= set(ids)
    assert "http" not in text and "<style" not in text


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_numbers_give_the_same_figure(name):
    assert FIGURES[name](name) == FIGURES[name](name)


def test_intervals_stand_in_order_from_zero():
    svg = drawn("intervals")
    (best, *_), (other, *_) = marks(svg, "#0b5cad"), marks(svg, "#6f7782")
    assert best[1] < other[1] and best[0] > other[0]  # the best on top, more to the right
    zero, *_ = [text for text in svg.iter("text") if text.text in ("0.0", "0.00")]
    ratio = (best[0] - float(zero.get("x"))) / (other[0] - float(zero.get("x")))
    assert ratio == pytest.approx(3, rel=1e-3)


def test_values_that_are_all_zero_have_an_axis_all_the_same():
    rows = [Row("A", 0.0, 0.0, 0.0, trained=True)]
    svg = ElementTree.fromstring(interval_figure(rows, name="a", metric="R"))
    assert texts(svg)[:2] == ["0.0", "0.2"]


def test_a_group_without_points_has_no_mark():
    svg = drawn("groups")
    # One more of each colour stands in the legend.
    assert len(marks(svg, "#0072b2")) == 3 and len(marks(svg, "#d55e00")) == 2


def test_every_epoch_is_marked_even_if_there_is_one():
    svg = drawn("curves")
    assert len(marks(svg, "#0072b2")) == 3 and len(marks(svg, "#d55e00")) == 2


def test_settings_of_the_user_neither_count_nor_change(monkeypatch):
    plain = FIGURES["intervals"]("a")
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "path")
    before = dict(matplotlib.rcParams)
    assert FIGURES["intervals"]("a") == plain
    assert dict(matplotlib.rcParams) == before


def test_letters_that_the_font_lacks_are_left_to_the_browser():
    rows = [Row("推薦", 0.1, 0.05, 0.2, trained=True)]
    assert "推薦" in interval_figure(rows, name="a", metric="R")


def test_long_names_are_cut():
    svg = ElementTree.fromstring(curve_figure({"x": [1]}, name="a", quantity="q", title="y" * 99))
    assert "y" * 25 + "…" in texts(svg)
