"""The figure style: colours that everyone can tell apart, SVG that is the same each time."""

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from finicky.exhibits import style
from finicky.labels import LABELS

# Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
AXES = {
    "init": ["he", "xavier", "lecun", "uniform_fan_in", "normal_std_1", "normal_std_0.001",
             "normal_std_0.0001", "zeros"],
    "activation": ["relu", "leaky_relu", "tanh", "sigmoid", "selu", "identity"],
    "optimizer": ["sgd", "momentum", "rmsprop", "adam", "adamw"],
    "block": ["plain", "batch_norm", "residual", "batch_norm_residual"],
    "recipe": ["correct", "zeros", "rate_10", "sigmoid", "rate_0.1"],
}  # fmt: skip


def lab(colour, vision):
    """CIELAB (D65) of an sRGB colour as seen with this kind of vision."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722],
                    [0.0193, 0.1192, 0.9505]]) @ seen / [0.9505, 1.0, 1.089]  # fmt: skip
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_any_two_colours_can_be_told_apart(vision):
    for one, other in itertools.combinations(style.PALETTE, 2):
        assert np.linalg.norm(lab(one, vision) - lab(other, vision)) > 15, (one, other)


@pytest.mark.parametrize("background", ["#ffffff", "#121212"])
@pytest.mark.parametrize("colour", style.PALETTE)
def test_colours_stand_out_from_a_light_and_a_dark_page(colour, background):
    light, dark = sorted(
        (style.luminance(to_rgb(colour)), style.luminance(to_rgb(background))), reverse=True
    )
    assert (light + 0.05) / (dark + 0.05) >= 3  # WCAG 2.2, 1.4.11


@pytest.mark.parametrize("axis", AXES)
def test_levels_of_an_axis_differ_in_colour_and_in_marker(axis):
    styles = [style.level_style(level) for level in AXES[axis]]
    for what in ("colour", "marker"):
        assert len({getattr(one, what) for one in styles}) == len(styles)


def test_a_level_with_a_style_has_a_label_too():
    assert set(style.LEVEL_STYLES) <= set(LABELS)


def test_a_level_of_ones_own_has_a_style():
    own = style.level_style("my_activation")
    assert own == style.level_style("my_activation") and own.colour in style.PALETTE
    others = {style.level_style(f"activation_{place}").colour for place in range(20)}
    assert len(others) > 1
    assert style.level_style("normal_std_0.5") == style.level_style("normal_std_0.0001")


def test_optimizers_and_rates_in_words_and_in_order():
    table = pd.DataFrame(
        {
            "optimizer": ["adam", "sgd", "momentum", "momentum"],
            "learning_rate": [0.001, 0.01, 0.1, 0.01],
        },
        index=[3, 5, 7, 9],
    )
    rows, words = style.trained_by(table)
    assert words == ["SGD at 0.01", "momentum at 0.01", "momentum at 0.1", "Adam at 0.001"]
    assert rows.to_dict() == {
        3: "Adam at 0.001", 5: "SGD at 0.01", 7: "momentum at 0.1", 9: "momentum at 0.01",
    }  # fmt: skip


def test_summary():
    table = pd.DataFrame({
        "init": ["he"] * 3 + ["zeros"],
        "seed": [0, 1, 2, 0],
        "value": [90.0, 10.0, 94.0, 11.0],
        "outcome": ["finite", "nan", "large", "finite"],
    })  # fmt: skip
    rows = style.summary(table, ["init"]).to_dict("records")
    assert rows[0] == {"init": "he", "median": 90.0, "low": 10.0, "high": 94.0, "n": 3,
                       "failed": pytest.approx(1 / 3)}  # fmt: skip
    assert rows[1]["n"] == 1 and rows[1]["failed"] == 0
    assert style.seeds_said(pd.DataFrame(rows)) == "1 to 3 seeds"


@pytest.mark.parametrize(
    "wanted, placed",
    [
        ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]),
        ([1.0, 1.0], [0.5, 1.5]),
        ([0.0, 0.2, 5.0], [-0.4, 0.6, 5.0]),
        ([0.0, 0.9, 1.0], [-0.3667, 0.6333, 1.6333]),
        ([], []),
    ],
)
def test_labels_move_apart_as_little_as_they_must(wanted, placed):
    assert style.apart(wanted, 1.0) == pytest.approx(placed, abs=1e-4)


def test_accuracies_spaced_by_the_error_left():
    accuracies = np.array([0.0, 10.0, 90.0, 99.0, 100.0])
    places = style.by_error(accuracies)
    assert style.from_error(places) == pytest.approx(accuracies)
    assert (places[3] - places[2]) > (places[2] - places[1])


def test_ticks_set_thousands_apart():
    with style.context():
        _, axes = style.panels([1], columns=1)
        axes[0, 0].set(xlim=(0, 20_000), ylim=(0, 0.001))
        along = [tick.get_text() for tick in axes[0, 0].get_xticklabels()]
        up = [tick.get_text() for tick in axes[0, 0].get_yticklabels()]
    assert "10,000" in along and not any("," in tick for tick in up)


def test_a_value_beyond_the_limits_is_not_drawn():
    with style.context():
        fig, axes = style.panels([2.0], columns=1)
        ax = axes[0, 0]
        style.log_axis(ax, "y", 0.1, 5.0)
        data = pd.DataFrame({"epoch": [1, 2, 3], "median": [4e3, 2.0, 1.0], "low": [1.0] * 3,
                             "high": [4e3, 2.0, 1.0]})  # fmt: skip
        style.line(ax, data, "epoch", "rate_10")
    assert np.isnan(ax.lines[0].get_ydata()[0]) and ax.lines[0].get_ydata()[1] == 2.0


def test_panels_are_as_large_as_said():
    fig, axes = style.panels(
        [1.0, 2.0], columns=3, left=1.0, right=0.5, top=0.5, bottom=0.5, between=(0.25, 0.5)
    )
    assert fig.get_size_inches() == pytest.approx([style.WIDTH, 4.5])
    box = axes[1, 2].get_position()
    assert box.height * 4.5 == pytest.approx(2.0) and box.y0 * 4.5 == pytest.approx(0.5)
    assert box.x1 * style.WIDTH == pytest.approx(style.WIDTH - 0.5)


def test_a_heat_map_says_number_nan_and_gap():
    cells = pd.DataFrame({"activation": ["relu", "tanh", "relu"], "init": ["he", "he", "zeros"],
                          "median": [97.31, 10.0, 55.0], "failed": [0.0, 1.0, 0.4]})  # fmt: skip
    with style.context():
        fig, axes = style.panels([1.0], columns=1)
        ax = axes[0, 0]
        style.heat_map(ax, cells, "activation", ["relu", "tanh"], "init", ["zeros", "he"])
    said = {text.get_position(): text.get_text() for text in ax.texts}
    assert said == {(0, 1): "97.3", (1, 1): "NaN", (0, 0): "55.0"}
    trained, empty = ax.collections
    assert len(trained.get_paths()) == 6 and len(empty.get_paths()) == 1
    bars = [path.get_extents().width for path in trained.get_paths()[1::2]]
    assert sorted(bars) == pytest.approx([0.0, 0.4 * 0.94, 0.94])


@pytest.mark.parametrize("rows, said", [(["he"], False), (["he", "zeros"], True)])
def test_the_key_of_heat_maps_says_not_trained_only_where_something_is(rows, said):
    cells = pd.DataFrame({"activation": ["relu"], "init": ["he"], "median": [97.3], "failed": [0]})
    with style.context():
        fig, axes = style.panels([1.0], columns=1)
        style.heat_map(axes[0, 0], cells, "activation", ["relu"], "init", rows)
        style.heat_map_key(fig, "accuracy (%)")
    assert ("not trained" in {text.get_text() for text in fig.legends[0].get_texts()}) == said


def test_names_of_lines_that_coincide_stand_in_one_order_and_short_lines_have_grey_leaders():
    with style.context():
        fig, axes = style.panels([2.0], columns=1)
        ax = axes[0, 0]
        ax.set(xlim=(0, 1), ylim=(0, 100))
        style.name_ends(ax, [(1, 50.2, "b", style.BLUE), (1, 50, "a", style.SAGE),
                             (0.5, 90, "short", style.PLUM)])  # fmt: skip
    names = sorted(ax.texts, key=lambda text: -text.get_position()[1])
    assert [text.get_text() for text in names] == ["short", "a", "b"]
    colours = {line.get_color() for line in ax.lines}
    assert colours == {style.BLUE, style.SAGE, style.INK}


@pytest.fixture
def drawing():
    with style.context():
        fig, axes = style.panels([2.0], columns=1)
        data = pd.DataFrame(
            {
                "epoch": [1, 2],
                "init": "he",
                "median": [1.0, 2.0],
                "low": [0.5, 1.5],
                "high": [1.5, 2.5],
                "n": 5,
                "failed": 0.0,
            }
        )
        style.line(axes[0, 0], data, "epoch", "he")
        style.label_ends(axes[0, 0], data, "epoch", "init")
        style.footer(fig, data, {"solid": "training", "dashed": "test"})
        fig.set_label('He, "the best" & <only> one')
    return fig


def test_svg_is_the_same_each_time(drawing, tmp_path):
    style.save_svg(drawing, tmp_path / "a.svg", "F01")
    style.save_svg(drawing, tmp_path / "b.svg", "F01")
    style.save_svg(drawing, tmp_path / "c.svg", "F02")
    first, second, other = ((tmp_path / f"{name}.svg").read_bytes() for name in "abc")
    assert first == second != other
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg", "c.svg"]


def test_svg_takes_the_text_colour_of_its_page(drawing, tmp_path):
    style.save_svg(drawing, tmp_path / "a.svg", "F01")
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert style.INK not in svg and "fill: currentColor" in svg
    assert style.level_style("he").colour in svg
    assert style.LAYOUT_FONT not in svg and "system-ui" in svg


def test_svg_text_is_text_and_the_label_is_its_alt_text(drawing, tmp_path):
    style.save_svg(drawing, tmp_path / "a.svg", "F01")
    root = ET.parse(tmp_path / "a.svg").getroot()
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"He", "median and range of 5 seeds", "training"} <= texts
    assert root.get("role") == "img" and root.get("aria-label") == drawing.get_label()


def test_png_is_written_whole(drawing, tmp_path):
    style.save_png(drawing, tmp_path / "pictures" / "a.png")
    assert (tmp_path / "pictures" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["a.png"]
