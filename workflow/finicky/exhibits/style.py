"""One style for every figure: a level looks the same wherever it appears, and every SVG can be put
into a page that is light or dark.

Colours have a relative luminance between 0.125 and 0.292, so each keeps a contrast of 3:1 (WCAG
2.2, 1.4.11) against the page's light and its dark paper; in simulations of the three colour-vision
deficiencies (Machado, Oliveira and Fernandes 2009) any two stay at least 15 apart in CIELAB; the
page's dark theme lifts the two darkest and the bands (report/style.css). No one
colour is dark and pale enough for letters on both, which need 4.5:1. So text and axes are drawn in
INK, which `save_svg` turns into `currentColor`, the page's text colour; names stand beside a mark
in their colour (`name`); and what the chapter says is drawn in CHAPTER, the page's colour for it in
either theme.
"""

import os
from html import escape
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import FuncNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, DrawingArea, HPacker, TextArea
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import ScalarFormatter
from matplotlib.transforms import ScaledTranslation

from finicky import labels
from finicky.data import CHANCE
from finicky.labels import label, optimizer_rates
from finicky.numbers import grouped, significant
from finicky.runs import FAILED

WIDTH = 7.5  # inches: the page's text column
INK = "#1b1b1d"  # stands for the page's text colour
CHAPTER = "#a13d2d"  # stands for the page's variable --chapter, whose light value it is
DASHES = (0, (3, 1.6))
CHAPTER_LINE = {"color": CHAPTER, "linestyle": DASHES, "linewidth": 1.1}
CHAPTER_MARK = {
    "color": CHAPTER, "marker": "D", "markersize": 5.5, "markerfacecolor": "none",
    "markeredgewidth": 1.3, "linestyle": "none", "zorder": 5, "clip_on": False,
}  # fmt: skip
LEADER = {"linewidth": 0.5, "color": INK, "alpha": 0.5}  # from words to what they name
# The layout is computed with a font that ships with matplotlib, so it is the same on every machine;
# the system fonts that replace it in the SVG are narrower, so nothing overlaps there.
LAYOUT_FONT = "DejaVu Sans"
SYSTEM_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

STYLE = {
    "font.family": LAYOUT_FONT,
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.14,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "hatch.color": INK,
    "hatch.linewidth": 0.4,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",  # text stays text: it can be searched and copied
}


class LevelStyle(NamedTuple):
    """How a level is drawn, wherever it appears."""

    colour: str
    marker: str


BLUE, VERMILLION, GREY, SAGE = "#0072b2", "#d55e00", "#808080", "#719b70"
PLUM, LAVENDER, TAN, OLIVE = "#9b4482", "#8f83ee", "#c08449", "#72642a"
PALETTE = [BLUE, VERMILLION, GREY, SAGE, PLUM, LAVENDER, TAN, OLIVE]

LEVEL_STYLES = {
    # initialisers
    "he": (BLUE, "o"),
    "xavier": (VERMILLION, "s"),
    "lecun": (SAGE, "D"),
    "uniform_fan_in": (LAVENDER, "^"),
    "normal_std_1": (PLUM, "X"),
    "normal_std_0.001": (OLIVE, "v"),
    "normal_std_0.0001": (TAN, "P"),
    "zeros": (GREY, "*"),
    # activations
    "relu": (BLUE, "o"),
    "leaky_relu": (LAVENDER, "^"),
    "tanh": (SAGE, "D"),
    "sigmoid": (VERMILLION, "s"),
    "selu": (PLUM, "X"),
    "identity": (GREY, "v"),
    # optimizers
    "sgd": (OLIVE, "v"),
    "momentum": (TAN, "P"),
    "rmsprop": (SAGE, "D"),
    "adam": (PLUM, "X"),
    "adamw": (LAVENDER, "^"),
    # blocks
    "plain": (OLIVE, "v"),
    "batch_norm": (VERMILLION, "s"),
    "residual": (LAVENDER, "^"),
    "batch_norm_residual": (PLUM, "X"),
    # normalisations
    "batch norm": (VERMILLION, "s"),
    "layer norm": (SAGE, "D"),
    "instance norm": (LAVENDER, "^"),
    "group norm": (BLUE, "o"),
    "none": (GREY, "v"),
    # remedies of overfitting ("none" stands above)
    "L2": (BLUE, "o"),
    "dropout": (SAGE, "D"),
    "early stopping": (TAN, "P"),
    "augmentation": (PLUM, "X"),
    "all": (VERMILLION, "s"),
    # models of images, and where the objects stand in them
    "linear": (GREY, "v"),
    "HOG + linear": (SAGE, "D"),
    "MLP": (BLUE, "o"),
    "convolution": (VERMILLION, "s"),
    "centred": (PLUM, "X"),
    "moved": (TAN, "P"),
    "permuted": (OLIVE, "v"),
    # recipes of the mini project ("zeros" and "sigmoid" stand above)
    "correct": (BLUE, "o"),
    "rate_10": (PLUM, "X"),
    "rate_0.1": (SAGE, "D"),
    # data sets
    "mnist": (GREY, "o"),
    "fashion_mnist": (TAN, "P"),
}


def level_style(level: str) -> LevelStyle:
    """The style of a level; a level of the reader's own gets one that depends on its name alone."""
    if level in LEVEL_STYLES:
        return LevelStyle(*LEVEL_STYLES[level])
    if level.startswith("normal_std_"):
        return LevelStyle(TAN, "P")
    return LevelStyle(PALETTE[crc32(level.encode()) % len(PALETTE)], "h")


def trained_by(table: pd.DataFrame) -> tuple[pd.Series, list[str]]:
    """Optimizer and rate of each row as words ("SGD at 0.01"), and these words in order."""
    words = {pair: labels.trained_by(*pair) for pair in optimizer_rates(table)}
    rows = zip(table["optimizer"], table["learning_rate"], strict=True)
    said = pd.Series([words[pair] for pair in rows], index=table.index, dtype="str")
    return said, list(words.values())


def context():
    """Context manager in which figures are drawn and saved."""
    return matplotlib.rc_context(STYLE)


class Ticks(ScalarFormatter):
    """The numbers of a linear axis as matplotlib writes them, their thousands apart."""

    def __call__(self, x, pos=None):
        return grouped(super().__call__(x, pos))


def panels(
    heights: list[float],
    columns: int,
    *,
    left: float = 0.55,
    right: float = 1.0,
    top: float = 0.35,
    bottom: float = 0.75,
    between: tuple[float, float] = (0.3, 0.6),
    width: float = WIDTH,
) -> tuple[Figure, np.ndarray]:
    """A figure of `width` with rows of axes of these `heights`; all sizes in inches.

    `between` is the gap between columns and between rows. Returns the figure and its axes
    [rows, columns]; the figure is as high as its rows need.
    """
    gap_x, gap_y = between
    height = top + sum(heights) + gap_y * (len(heights) - 1) + bottom
    each = (width - left - right - gap_x * (columns - 1)) / columns
    fig = Figure(figsize=(width, height))
    axes = np.empty((len(heights), columns), dtype=object)
    y = height - top
    for row, high in enumerate(heights):
        y -= high
        for column in range(columns):
            x = left + column * (each + gap_x)
            ax = fig.add_axes((x / width, y / height, each / width, high / height))
            ax.xaxis.set_major_formatter(Ticks())
            ax.yaxis.set_major_formatter(Ticks())
            axes[row, column] = ax
        y -= gap_y
    return fig, axes


def summary(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The seeds of each combination of `by` in a measured table (value, outcome).

    Columns: by..., median, low, high (lowest and highest), n (seeds), failed (share of them whose
    loss became inf or NaN: their accuracies count as chance, their losses are left out).
    """
    table = table.assign(failure=table["outcome"].isin(FAILED))
    return (
        table.groupby(by, sort=True)
        .agg(
            median=("value", "median"),
            low=("value", "min"),
            high=("value", "max"),
            n=("seed", "nunique"),
            failed=("failure", "mean"),
        )
        .reset_index()
    )


def line(ax, data: pd.DataFrame, x: str, level: str, dashed: bool = False) -> None:
    """A level's median as a line over the range of its seeds; `data` is a `summary`."""
    drawn = level_style(level)
    data = data.sort_values(x)
    low, high = ax.get_ylim()
    inside = data["median"].between(low, high)
    ax.fill_between(data[x], data["low"], data["high"], color=drawn.colour, alpha=0.2, linewidth=0)
    ax.plot(
        data[x],
        data["median"].where(inside),
        color=drawn.colour,
        linestyle=DASHES if dashed else "-",
        marker=drawn.marker,
        markerfacecolor="none" if dashed else drawn.colour,
        clip_on=False,  # a marker on the frame is drawn whole
    )


def label_ends(ax, data: pd.DataFrame, x: str, level: str) -> None:
    """Name each line right of the axes, beside its end and clear of the other names.

    `data` is a `summary` by the columns `x` and `level`; what ends outside the limits gets no name.
    Call it when limits and size of the axes are final.
    """
    last = data.dropna(subset="median").sort_values(x).groupby(level).tail(1)
    last = last[last["median"].between(*ax.get_ylim())]
    ends = []
    for _, end in last.iterrows():
        failed = f" ({end['failed'] * end['n']:.0f} of {end['n']} NaN)" if end["failed"] else ""
        said, colour = label(end[level]) + failed, level_style(end[level]).colour
        ends.append((end[x], end["median"], said, colour))
    name_ends(ax, ends)


def name_ends(ax, ends: list[tuple[float, float, str, str]]) -> None:
    """Names right of the axes for the lines that end at (x, y): [(x, y, name, colour)].

    Each is led to its line's end and clear of the others, by a thin grey line where that is before
    the right edge. Call it when limits and size of the axes are final.
    """
    to_axes = ax.transData + ax.transAxes.inverted()
    text_line = 11 / (ax.get_position().height * ax.figure.get_figheight() * 72)
    placed = [(*to_axes.transform((x, y))[::-1], said, colour) for x, y, said, colour in ends]
    placed.sort(key=lambda end: end[2], reverse=True)  # where lines coincide, by name
    placed.sort(key=lambda end: round(3 * end[0] / text_line))
    places = apart([y for y, *_ in placed], text_line)
    for place, (y, at_x, said, colour) in zip(places, placed, strict=True):
        ax.plot(
            [at_x + 0.02, max(1.02, at_x + 0.02), 1.07],
            [y, y, place],
            transform=ax.transAxes,
            **({"color": colour, "linewidth": 0.8} if at_x > 0.8 else LEADER),
            clip_on=False,
        )
        ax.text(1.085, place, said, transform=ax.transAxes, fontsize=8, va="center_baseline")


def name(
    ax, said: str, at: tuple, colour: str, marker: str | None = None, *, right: bool = False,
    within="data", size: float = 8, dashed: bool = False, hollow: bool = False,
) -> None:  # fmt: skip
    """A name in ink behind its mark: a piece of line in its colour, a marker on it if there is one.

    at: where mark and name begin, or with `right` where they end, in the coordinates `within`, as
    `xycoords` of matplotlib's annotations; `dashed` and `hollow` as the line that is named.
    """
    key = DrawingArea(14, 8)
    key.add_artist(
        Line2D(
            [1, 7, 13], [4, 4, 4], color=colour, linestyle=DASHES if dashed else "-",
            marker=marker, markevery=[1], markerfacecolor="none" if hollow else colour,
        )
    )  # fmt: skip
    words = TextArea(said, textprops={"fontsize": size, "color": INK, "linespacing": 1})
    box = HPacker(children=[key, words], align="center", pad=0, sep=3)
    ax.add_artist(
        AnnotationBbox(
            box, at, xycoords=within, frameon=False, pad=0, annotation_clip=False,
            box_alignment=(1 if right else 0, 0.5),
        )
    )  # fmt: skip


def apart(wanted: list[float], gap: float) -> list[float]:
    """The ascending positions nearest to `wanted` (ascending) that are at least `gap` apart.

    Least squares under an order: groups that would overlap are moved as one, about their mean
    (pool adjacent violators).
    """
    groups: list[list[float]] = []
    for i, y in enumerate(wanted):
        groups.append([y - i * gap])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    flat = [float(np.mean(group)) for group in groups for _ in group]
    return [y + i * gap for i, y in enumerate(flat)]


def by_error(accuracy):
    """Place of an accuracy (%) on a scale spaced by the error that is left, -log10(100.1 - x).

    90 to 99 is as long as 0 to 90, so that a collapse and the last per cent show on one scale; the
    0.1 keeps 100 % on it.
    """
    return -np.log10(np.maximum(100.1 - np.asarray(accuracy, float), 1e-9))


def from_error(place):
    """The inverse of `by_error`."""
    return 100.1 - 10.0 ** -np.asarray(place, float)


ACCURACY_TICKS = [10, 50, 80, 90, 95, 98, 99]
HEAT = matplotlib.colormaps["viridis"].resampled(60)
NOT_TRAINED = {"facecolor": "none", "edgecolor": INK, "alpha": 0.25, "hatch": "/////"}


def heat_scale(guess: float) -> FuncNorm:
    """Place of an accuracy (%) on the colours of a heat map, from that of a guess on."""
    return FuncNorm((by_error, from_error), vmin=guess, vmax=99)


def accuracy_axis(ax, which: str, highest: float) -> None:
    """Space an x or y axis `by_error`, from 0 % to a little above the `highest` accuracy shown."""
    high = min(100 - 0.7 * (100 - highest), 99.95)
    getattr(ax, f"set_{which}scale")("function", functions=(by_error, from_error))
    _limits_and_ticks(ax, which, 0, high, [tick for tick in ACCURACY_TICKS if tick <= high])


def log_axis(ax, which: str, low: float, high: float, ticks: list[float] | None = None) -> None:
    """A logarithmic x or y axis; ticks at 1, 2 and 5 times the powers of ten unless given."""
    steps = ticks or [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
    getattr(ax, f"set_{which}scale")("log")
    _limits_and_ticks(ax, which, low, high, [tick for tick in steps if low <= tick <= high])


def _limits_and_ticks(ax, which, low, high, ticks):
    getattr(ax, f"set_{which}lim")(low, high)
    axis = getattr(ax, f"{which}axis")
    axis.set_ticks([], minor=True)
    axis.set_ticks(ticks, labels=[significant(tick, 6) for tick in ticks])


def heat_map(
    ax, cells: pd.DataFrame, x: str, columns: list[str], y: str, rows: list[str],
    guess: float = CHANCE,
) -> None:  # fmt: skip
    """Cells of accuracy (%), each with its number; `cells` is a `summary` by levels `x` and `y`.
    Colours begin at the accuracy of a guess.

    A bar at a cell's foot is the share of failed seeds; a cell whose seeds all failed says NaN;
    one that was not trained is hatched.
    """
    wide = ax.get_position().width * ax.figure.get_figwidth() / len(columns)  # inches a cell
    known = {(row[x], row[y]): row for row in cells.to_dict("records")}
    trained, colours, empty, scale = [], [], [], heat_scale(guess)
    for column, row in np.ndindex(len(columns), len(rows)):
        corner = (column - 0.47, row - 0.46)
        cell = known.get((columns[column], rows[row]))
        if cell is None:
            empty.append(Rectangle(corner, 0.94, 0.92))
            continue
        if cell["failed"] == 1:
            colour, said = to_rgb(GREY), "NaN"
        else:
            colour = HEAT(scale(cell["median"]))[:3]
            said = f"{cell['median']:.1f}" if wide > 0.35 else f"{cell['median']:.0f}"
        trained += [Rectangle(corner, 0.94, 0.92), Rectangle(corner, 0.94 * cell["failed"], 0.14)]
        colours += [colour, VERMILLION]
        ax.text(
            column,
            row,
            said,
            ha="center",
            va="center_baseline",
            color=text_on(colour),
            fontsize=7.5 if wide > 0.24 else 6,
        )
    # a collection draws many boxes several times faster than a patch each
    ax.add_collection(PatchCollection(trained, facecolors=colours, linewidths=0))
    if empty:
        ax.add_collection(PatchCollection(empty, linewidths=0, **NOT_TRAINED))
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(rows) - 0.5))
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_yticks(range(len(rows)), [label(level) for level in rows])
    names = [label(level) for level in columns]
    if wide > 0.45:
        ax.set_xticks(range(len(columns)), [name.replace(" ", "\n") for name in names])
    else:
        ax.set_xticks(range(len(columns)), names, rotation=90)


def heat_map_key(fig: Figure, title: str, guess: float = CHANCE) -> None:
    """At the top right of a figure with its heat maps: what their colours and bars mean, and their
    hatching where something is. Colours begin at the accuracy (%) of a guess."""
    width, height = fig.get_size_inches()
    strip = fig.add_axes((1 - 2.6 / width, 1 - 0.38 / height, 2.5 / width, 0.12 / height))
    fig.colorbar(ScalarMappable(heat_scale(guess), HEAT), cax=strip, orientation="horizontal")
    ticks = [guess, *(tick for tick in ACCURACY_TICKS if tick > guess + 15)]
    strip.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    strip.set_xticks([], minor=True)
    strip.set_title(title, fontsize=8, weight="normal", pad=3)
    handles = [Patch(facecolor=VERMILLION, label="share of seeds that became NaN")]
    if any(cells.get_hatch() for ax in fig.axes for cells in ax.collections):
        handles.append(Patch(label="not trained", linewidth=0, **NOT_TRAINED))
    fig.legend(
        handles=handles,
        ncols=2,
        fontsize=8,
        loc="upper right",
        borderaxespad=0,
        handlelength=1.4,
        handleheight=0.8,
        bbox_to_anchor=(1 - 0.1 / width, 1 - 0.62 / height),
    )


def luminance(colour) -> float:
    """Relative luminance (0 to 1) of an RGB colour (each 0 to 1), as WCAG 2.2 defines it."""
    channels = np.asarray(colour, float)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def expected(ax, title: str, said: str = "") -> None:
    """The title of axes and below it, in the chapter's colour, what the chapter expects to see."""
    ax.set_title(title, fontsize=8.5, pad=18 if said else None)
    if said:
        above = ScaledTranslation(0, 6 / 72, ax.figure.dpi_scale_trans)
        ax.text(
            0, 1, f"chapter: {said}", transform=ax.transAxes + above, fontsize=7.5, va="bottom",
            color=CHAPTER,
        )  # fmt: skip


def text_on(colour) -> str:
    """Black or white, whichever stands out from this colour (a name, or RGB from 0 to 1): by 4.58:1
    at the least."""
    return "#000000" if luminance(to_rgb(colour)) > 0.179 else "#ffffff"


def seeds_said(data: pd.DataFrame) -> str:
    """Of how many seeds the rows of a `summary` are, in words."""
    low, high = int(data["n"].min()), int(data["n"].max())
    seeds = f"{high} seed" if high == 1 else f"{high} seeds"
    return seeds if low == high else f"{low} to {seeds}"


def trained_on(table: pd.DataFrame) -> str:
    """For how long the networks of a measured table (dataset, images, epochs) were trained, in
    words; of several lengths the first."""
    one = table.dropna(subset=["dataset", "images", "epochs"]).iloc[0]
    epochs = int(one["epochs"])
    images, length = label(int(one["images"])), f"{epochs} epoch{'s' * (epochs > 1)}"
    return f"trained on {images} images of {label(one['dataset'])} for {length}"


def note(fig: Figure, said: str, at: float | None = None) -> None:
    """Words at the foot of a figure, to the right, or around the place `at` (a share of its
    width)."""
    right = 1 - 0.06 / fig.get_figwidth()
    fig.text(
        right if at is None else at,
        0.08 / fig.get_figheight(),
        said,
        fontsize=8,
        va="baseline",
        ha="right" if at is None else "center",
    )


def footer(
    fig: Figure, data: pd.DataFrame, lines: dict[str, str] | None = None, chapter: str = "",
    marker: str = "D", room=None,
) -> None:  # fmt: skip
    """At the foot of a figure: what line and band are, of how many seeds (`data`: a `summary`).

    `lines` says what "solid" and "dashed" lines are, where there are both; `chapter`, what the
    chapter's marks are, if it has any, of which `marker` is one. `room`: axes without a drawing,
    which take this key.
    """
    fig.text(
        0.06 / fig.get_figwidth(),
        0.08 / fig.get_figheight(),
        f"median and range of {seeds_said(data)}",
        fontsize=8,
        va="baseline",
    )
    handles = [
        Line2D(
            [],
            [],
            color=INK,
            marker="o",
            label=meaning,
            linestyle=DASHES if dashed else "-",
            markerfacecolor="none" if dashed else INK,
        )
        for kind, meaning in (lines or {}).items()
        for dashed in [kind == "dashed"]
    ]
    if chapter:
        handles.append(Line2D([], [], **CHAPTER_MARK | {"marker": marker}, label=chapter))
    key = {"handles": handles, "handlelength": 2.8, "fontsize": 8, "borderpad": 0}
    if room is not None:
        room.legend(loc="center left", **key)
    elif handles:
        fig.legend(ncols=len(handles), loc="lower right", borderaxespad=0.6, **key)


def save_svg(fig: Figure, path: str | Path, salt: str) -> None:
    """Write a figure as an SVG whose text takes the colour of the text around it.

    The same figure and `salt` (the figure's id) give the same bytes. Ink becomes `currentColor`,
    the chapter's colour the page's variable for it, the fonts the system's. The figure's label
    (`fig.set_label`), if there is one, is its finding, and the drawing's name.
    """
    path = Path(path)
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    temporary = _beside(path)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}):
        fig.savefig(temporary, format="svg", metadata=nothing)
    svg = temporary.read_text(encoding="utf-8")
    # matplotlib says this in a style sheet for "*", which a page has to leave out
    root = '<svg stroke-linejoin="round"'
    if fig.get_label():
        root += f' role="img" aria-label="{escape(str(fig.get_label()))}"'
    svg = svg.replace("<svg", root, 1)
    svg = svg.replace(INK, "currentColor").replace(CHAPTER, f"var(--chapter, {CHAPTER})")
    svg = svg.replace(f"'{LAYOUT_FONT}'", SYSTEM_FONTS)
    temporary.write_text(svg, encoding="utf-8")
    os.replace(temporary, path)


def save_png(fig: Figure, path: str | Path) -> None:
    """Write a figure as a PNG on white, 200 dots an inch, for slides and mails."""
    path = Path(path)
    temporary = _beside(path)
    with matplotlib.rc_context(STYLE):
        fig.savefig(
            temporary, format="png", dpi=200, facecolor="white", metadata={"Software": None}
        )
    os.replace(temporary, path)


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}")
