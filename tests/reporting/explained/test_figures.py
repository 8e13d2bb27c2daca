"""Figures of what a model does inside: what is drawn, and that no hue is needed to read it."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import colormaps

from hrec_tf.models import ExplainedHistory
from hrec_tf.reporting.explained import numbers
from hrec_tf.reporting.explained.figures import (
    MARKERS,
    SHADES,
    Strip,
    attention_figure,
    distance_figure,
    label_of,
    map_figure,
    run_figure,
    strip_figure,
)
from hrec_tf.reporting.explained.vectors import Places
from tests.reference.made_explanations import made_explanation

ODD = '<b>$x_1$</b> & "id="q"'
HISTORY = ExplainedHistory(
    **vars(made_explanation([10, 20, 40, 30])),
    raw_ids=tuple("abcd"),
    timestamps=np.array([0, 59, 60, 7260]),
)
RUNS = numbers.by_run_length(
    [np.array([9, 0.4, 0.2, 0.3, 0.1])], [[{"a"}, {"a"}, {"a"}, {"b"}, {"c"}]]
)
WEIGHTS = HISTORY.attentions["context_attention"]
PLACES = Places(np.arange(12.0).reshape(6, 2), np.array([[3.0, 3.0], [0.0, 5.0]]))
GROUPS = {"others": np.array([5]), "drama": np.array([0, 1]), ODD: np.array([2, 3, 4])}
FIGURES = {
    "steps": lambda name: distance_figure(
        numbers.attention_by_steps(HISTORY), name=name, title="steps", distance="events before"
    ),
    "time": lambda name: distance_figure(
        numbers.attention_by_time(HISTORY), name=name, title="time", distance="time before"
    ),
    "runs": lambda name: run_figure(RUNS, name=name, gate=numbers.PRODUCT),
    "heat": lambda name: attention_figure(WEIGHTS, first=1, name=name, title=ODD),
    "strip": lambda name: strip_figure(
        [
            Strip(ODD, np.array([0.1, 0.3, 0.2])),
            Strip("change of h", np.array([np.nan, 2.0, 2.0])),
            Strip("change of c", np.full(3, np.nan)),
        ],
        first=1,
        breaks=[1],
        name=name,
        title="strip",
    ),
    "map": lambda name: map_figure(PLACES, GROUPS, name=name, title="map"),
}
DARKEST = "#08306b"


def drawn(name):
    return ElementTree.fromstring(FIGURES[name](name))


def texts(svg):
    return [element.text for element in svg.iter("text")]


def squares(svg):
    """Left, top and colour of every shaded square, row by row."""
    found = []
    for path in svg.iter("path"):
        fill = re.search(r"fill: (#[0-9a-f]{6})", path.get("style", ""))
        points = re.findall(r"[ML] (\S+) (\S+)", path.get("d", ""))
        if fill and fill[1] != "#ffffff" and len(points) == 4 and not path.get("id"):
            x, y = np.array(points, float).T
            found.append((x.min().round(2), y.min().round(2), fill[1]))
    return sorted(found, key=lambda held: (held[1], held[0]))


def lightness(color):
    """How light a colour looks, 0..1, to those who see no hue: relative luminance of sRGB."""
    channels = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_whole_described_and_scales(name):
    svg = drawn(name)
    assert svg.get("role") == "img"
    box = [float(number) for number in svg.get("viewBox").split()]
    assert box == [0, 0, float(svg.get("width")), float(svg.get("height"))]
    described = {element.get("id"): element.text for element in svg}
    assert all(described[part] for part in svg.get("aria-labelledby").split())
    assert len([*svg.iter("path"), *svg.iter("use")]) > 5 and texts(svg)


@pytest.mark.parametrize("name", FIGURES)
def test_names_inside_are_the_figures_own_and_nothing_is_fetched(name):
    text = FIGURES[name](name)
    ids = re.findall(r' id="([^"]+)"', re.sub(r">[^<]*<", "><", text))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert len(ids) == len(set(ids))
    assert all(one == name or one.startswith(f"{name}-") for one in ids)
    assert set(used) <= set(ids)
    assert "http" not in text and "<style" not in text and "<image" not in text


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_numbers_give_the_same_figure(name):
    assert FIGURES[name](name) == FIGURES[name](name)


def test_only_bins_between_filled_ones_are_drawn():
    assert texts(drawn("steps"))[:3] == ["1", "2", "3"]
    shown = [text for text in texts(drawn("time")) if text in numbers.TIME_LABELS]
    # Nothing lies 10 to 60 minutes back, but both of its neighbours are there.
    assert shown == ["< 1 min", "1–10 min", "10–60 min", "1–6 h"]


def test_numbers_of_lines_are_said():
    about = drawn("steps").find("desc").text
    assert "α(c), local contexts: 1 0.746, 2 0.31, 3 0.143" in about
    about = drawn("runs").find("desc").text
    assert about == "a category in common: 1 0.4, 2 0.2; none in common: 1 0.1, 3 0.3"


@pytest.mark.parametrize(("name", "lines"), [("steps", 2), ("runs", 2)])
def test_lines_have_shapes_of_their_own(name, lines):
    """A line's marker is a path that is used again; no two lines share one."""
    svg = drawn(name)
    shape = {path.get("id"): path.get("d") for path in svg.iter("path") if path.get("id")}
    by_color = {}
    for use in svg.iter("use"):
        fill = re.search(r"fill: (#[0-9a-f]{6})", use.get("style", ""))
        if fill and fill[1] != "#5f6673":  # not the ticks of an axis
            by_color.setdefault(fill[1], set()).add(shape[use.get("href")[1:]])
    assert len(by_color) == lines
    shapes = [one for (one,) in by_color.values()]
    assert len(set(shapes)) == lines


def test_shades_only_darken():
    """Whoever sees no hue at all reads them as well."""
    colors = colormaps[SHADES](np.linspace(0.06, 1, 50))
    hexes = ["#" + "".join(f"{round(255 * c):02x}" for c in color[:3]) for color in colors]
    light = np.array([lightness(color) for color in hexes])
    assert (np.diff(light) < 0).all() and light[0] > 0.8 and light[-1] < 0.05


def test_each_row_of_attention_is_shaded_up_to_its_greatest_weight():
    """Weights double, so the last of each row is darkest, and others are 1/2, 1/4, ... of it."""
    found = squares(drawn("heat"))
    assert len(found) == 10, "the triangle up to the event itself"
    colors = [color for *_, color in found]
    one, half, quarter, eighth = colors[9], colors[8], colors[7], colors[6]
    assert one == DARKEST
    assert colors == [one, half, one, quarter, half, one, eighth, quarter, half, one]
    lefts = [left for left, *_ in found]
    assert lefts[0] == lefts[1] == lefts[3] == lefts[6] < lefts[2]
    assert "2: 2, 3: 3, 4: 4" in drawn("heat").find("desc").text


def test_a_row_without_weight_is_light():
    text = attention_figure(np.zeros((3, 3)), first=1, name="a", title="a")
    assert len({color for *_, color in squares(ElementTree.fromstring(text))}) == 1


def test_a_strip_is_shaded_from_least_to_greatest_and_says_both():
    svg = drawn("strip")
    found = squares(svg)
    colors = [color for *_, color in found]
    assert len(colors) == 5, "nothing is drawn where there is no value"
    light = [lightness(color) for color in colors]
    assert light[0] > light[2] > light[1] and colors[1] == DARKEST
    assert light[3] == light[4] == light[0], "equal values are all the least"
    assert {"0.1–0.3", "2–2", ""} >= {text for text in texts(svg) if text and "–" in text}
    assert ODD in texts(svg)


@pytest.mark.parametrize(("value", "text"), [(3e-8, "0–1"), (0.0042, "0.0042–1")])
def test_tiny_ends_of_a_range_are_0(value, text):
    strips = [Strip("a", np.array([value, 1.0]))]
    svg = ElementTree.fromstring(strip_figure(strips, first=1, breaks=[], name="a", title="a"))
    assert text in texts(svg)


def test_events_keep_their_numbers():
    strips = [Strip("a", np.arange(13.0))]
    text = strip_figure(strips, first=61, breaks=[], name="a", title="a")
    shown = texts(ElementTree.fromstring(text))
    assert "65" in shown and "70" in shown and "61 0, 62 1" in text
    text = attention_figure(np.eye(13), first=61, name="a", title="a")
    assert texts(ElementTree.fromstring(text))[:2] == ["65", "70"]


def test_a_map_numbers_its_contexts_and_names_its_groups():
    svg = drawn("map")
    assert {"1", "2", "drama", "others", "global context", ODD} <= set(texts(svg))
    assert "drama: 2 items" in svg.find("desc").text
    assert len(set(MARKERS)) == len(MARKERS), "no two groups have one shape"


def test_names_that_the_paper_lacks_stay_as_they_are():
    assert label_of("context_attention") == "α(c), local contexts"
    assert label_of("my gate") == "my gate"
