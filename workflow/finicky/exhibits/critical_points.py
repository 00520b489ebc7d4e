"""Figure of critical points: how rare minima are, and what helps to leave a saddle."""

import math

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.experiments.critical_points import LANDSCAPES

FIGURES = {
    "F05": "Left: share of minima among random critical points, by dimension; the chapter's 2⁻ᵈ is "
    "the law of independent signs, and the line through the squares the exact law of random "
    "symmetric matrices, whose eigenvalues repel each other. Right: share of the steps out of a "
    "saddle that noise and momentum save, exactly on the saddle's stable manifold and beside it; "
    "bars go from the lowest to the highest seed.",
}
CALLED = {
    "separable": "independent signs",
    "random_matrix": "random matrix",
    "smooth_random_function": "smooth random function",
    "small_network": "small networks",
}
SAVED = [
    ("saved_by_noise", "noise", "isotropic", "isotropic noise"),
    ("saved_by_noise", "noise", "mini-batch", "mini-batch noise"),
    ("saved_by_momentum", "tuning", "same rate", "momentum, same rate"),
    ("saved_by_momentum", "tuning", "each at its best", "momentum, own rate"),
]
HELPS = {  # words: colour, marker
    "isotropic noise": (style.SAGE, "o"),
    "mini-batch noise": (style.OLIVE, "D"),
    "momentum, same rate": (style.PLUM, "s"),
    "momentum, own rate": (style.LAVENDER, "X"),
}
BITS = math.log2(10)  # of a power of ten
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def f05(table: pd.DataFrame):
    """Figure F05 and the data behind it."""
    shares = table[table["quantity"] == "log2_share_of_minima"]
    networks = table[table["quantity"] == "share_of_minima"]
    # in powers of ten; no minimum found: a hundredth, the foot of its line
    powers = [shares["value"] / BITS, np.log10(networks["value"].clip(lower=1) / 100)]
    minima = pd.concat([shares, networks]).assign(value=pd.concat(powers))
    minima = style.summary(minima.fillna({"inputs": 0}), ["ensemble", "inputs", "dimension"])
    minima["inputs"] = minima["inputs"].where(minima["inputs"] > 0)  # a function has none
    saved = pd.concat(
        style.summary(rows.assign(help=words, row=row), ["landscape", "start", "row", "help"])
        for row, (quantity, column, level, words) in enumerate(SAVED)
        for rows in [table[(table["quantity"] == quantity) & (table[column] == level)]]
    )
    saved["group"] = saved["landscape"].map(list(LANDSCAPES).index)
    saved = saved.sort_values(["group", "start", "row"], ascending=[True, False, True])
    saved = saved.drop(columns=["group", "row"]).reset_index(drop=True)
    fig, axes = style.panels([3.2], columns=2, left=0.5, right=0.12, between=(2.45, 0), bottom=0.95)
    _minima(axes[0, 0], minima)
    _saved(axes[0, 1], saved)
    style.footer(fig, minima)
    fig.set_label(_finding(table))
    return fig, pd.concat([minima, saved])


def _finding(table):
    """By which factor minima grow rarer with every dimension, and what noise saves at saddles."""
    rates = table[table["quantity"] == "bits_a_dimension"]
    rates = rates.groupby(["ensemble", "inputs"], dropna=False)["value"].median().reset_index()
    factors = {
        ensemble: span(2 ** -rates.loc[rates["ensemble"] == ensemble, "value"])
        for ensemble in ("smooth_random_function", "small_network")
    }
    noise = table[table["quantity"] == "saved_by_noise"]
    saved = span(noise.groupby(["landscape", "start"])["value"].median(), "%", 0)
    return (
        "With every dimension minima grow rarer by a factor of "
        f"{factors['smooth_random_function']} for smooth random functions, "
        f"{factors['small_network']} for small networks (chapter: 2); noise saves {saved} of the "
        "steps out of a saddle."
    )


def exact_goe(dimension):
    """log2 of the probability that a symmetric matrix with independent normal entries, variance 1
    off the diagonal and 2 on it, is positive definite, by quadrature.

    The eigenvalues' density is proportional to the product of all differences times exp(-x²/4);
    de Bruijn (1955) writes its integral as a Pfaffian of double integrals, here in polar
    coordinates. In float64 good to a few digits up to dimension 10.
    """
    size = dimension + dimension % 2
    nodes, weights = np.polynomial.legendre.leggauss(60)

    def pfaffian(start, end):
        """Of the skew matrix of ∫∫ sign(y - x) x^i y^j exp(-(x² + y²)/2), angles start to end."""
        matrix = np.zeros((size, size))
        edges = np.arange(start, end + 0.1) * math.pi / 4
        angle = ((edges[:-1, None] + edges[1:, None]) / 2 + nodes * math.pi / 8).ravel()
        weight = np.tile(weights * math.pi / 8, len(edges) - 1)
        cos, sin = np.cos(angle), np.sin(angle)
        for i in range(dimension):
            for j in range(i):
                radial = 2 ** ((i + j) / 2) * math.gamma((i + j) / 2 + 1)
                skew = (weight * np.sign(sin - cos) * cos**i * sin**j).sum()
                matrix[i, j], matrix[j, i] = radial * skew, -radial * skew
        if dimension % 2:
            for i in range(dimension):
                half = 2 ** ((i - 1) / 2) * math.gamma((i + 1) / 2)
                whole = half * (1 if end == 2 else 1 + (-1) ** i)
                matrix[i, -1], matrix[-1, i] = whole, -whole
        return np.linalg.slogdet(matrix)[1] / 2

    # x and y from 0 on: the first quadrant; all x and y: the whole circle
    return (pfaffian(0, 2) - pfaffian(0, 8)) / math.log(2)


def _minima(ax, minima):
    """Powers of ten by dimension, one mark per ensemble; the laws of the chapter, of matrices."""
    most = minima["dimension"].max()
    # the random matrix's curve may leave below
    lowest = minima[minima["ensemble"] != "random_matrix"]["low"].min() - 1.5
    ax.set_title("Share of minima (log scale)")
    ax.set(xlim=(0, most * 1.02), ylim=(lowest, 0.3), xlabel="d, dimensions")
    ticks = np.arange(0, lowest, -3)
    ax.set_yticks(ticks, [f"10{str(int(tick)).translate(SUPERSCRIPT)}" for tick in ticks])
    ax.plot([0, most], [0, -most / BITS], **style.CHAPTER_LINE)
    exact = range(1, 11)
    ax.plot(exact, [exact_goe(d) / BITS for d in exact], color=style.VERMILLION, linewidth=1)

    names = [("the chapter: 2⁻ᵈ", -most / BITS, most)]
    marks = {
        "separable": (style.GREY, "v"),
        "random_matrix": (style.VERMILLION, "s"),
        "smooth_random_function": (style.BLUE, "o"),
        "small_network": (style.SAGE, "D"),
    }
    for ensemble, rows in minima[minima["median"] > lowest].groupby("ensemble"):
        colour, marker = marks[ensemble]
        bars = [rows["median"] - rows["low"], rows["high"] - rows["median"]]
        ax.errorbar(rows["dimension"], rows["median"], bars, color=colour, marker=marker,
                    linewidth=0, elinewidth=1.2)  # fmt: skip
        last = rows.iloc[-1]
        names.append((CALLED[ensemble], last["median"], last["dimension"]))
    place, gap = np.inf, 0.055 * (0.3 - lowest)
    leader = style.LEADER | {"arrowstyle": "-", "relpos": (0, 0.5)}  # from the words' left edge
    for words, height, at in sorted(names, key=lambda name: -name[1]):
        place = min(height, place - gap)
        ax.annotate(
            words, (at, height), (most * 1.06, place), fontsize=8, va="center", arrowprops=leader,
            color=style.CHAPTER if "chapter" in words else style.INK,
        )  # fmt: skip


def _saved(ax, saved):
    """A row for each saddle and start, a mark in it for each way of helping."""
    ax.set_title("Steps saved against descent (%)", fontsize=8.5)
    ax.axvline(0, color=style.INK, linewidth=0.7)
    places = list(dict.fromkeys(zip(saved["landscape"], saved["start"], strict=True)))
    for row in saved.itertuples():
        colour, marker = HELPS[row.help]
        y = places.index((row.landscape, row.start)) + 0.17 * (list(HELPS).index(row.help) - 1.5)
        ax.plot([row.low, row.high], [y, y], color=colour)
        ax.plot(row.median, y, marker, color=colour, clip_on=False)
    ax.set_yticks(range(len(places)), [f"{saddle},\n{start}" for saddle, start in places])
    ax.set_ylim(len(places) - 0.5, -0.5)
    ax.set_xlim(min(-20, saved["low"].min()) * 1.05, 104)
    ax.grid(True, axis="x")
    ax.grid(False, axis="y")
    for between in range(1, len(places)):
        ax.axhline(between - 0.5, color=style.INK, alpha=0.14, linewidth=0.6)
    handles = [
        Line2D([], [], color=colour, marker=marker, label=words)
        for words, (colour, marker) in HELPS.items()
    ]
    ax.legend(
        handles=handles, ncols=2, fontsize=7.5, loc="upper left", bbox_to_anchor=(-0.5, -0.1),
        handlelength=1.6, columnspacing=1, borderpad=0, borderaxespad=0,
    )  # fmt: skip
