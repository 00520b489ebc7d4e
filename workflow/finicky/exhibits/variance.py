"""Figures F12, F13 and F14 and tables T02 and T04: variances at the start, and isometry."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.phrases import of_all, span
from finicky.exhibits.tables import Body, Cell, Column, Row, Table, measured_cell, with_digits
from finicky.experiments import moments
from finicky.labels import in_order, label
from finicky.numbers import number, significant

FIGURES = {
    "F12": "Untrained networks, layer by layer: dots are measured on images (median and range over "
    "the seeds), lines are the exact recursion for wide layers. Left the variance of the outputs "
    "over units and images, right the mean square of the gradient over that at the logits. A "
    "straight line is an exponential law; the chapter wants level ones.",
    "F13": "ReLU of normal numbers, in units of their deviation σ. The chapter states the variance "
    "that is the second moment, and a mean of 0 next to its own theorem.",
    "F14": "Singular values of the Jacobian of the last hidden layer by the first one. Above: "
    "the start meant for each activation; band: the middle 80 % of the singular values, line: "
    "their median, where it is not zero: ReLU loses more than half of all directions. Thin lines "
    "are the bands' edges; zero is drawn at the foot. Below: the largest singular value from other "
    "starts, where lines may leave the axes. An isometry has them all at 1.",
}
TABLES = {
    "T02": "What the three rules give in untrained networks of ten layers, and after a short "
    "training of each.",
    "T04": "Each formula of the chapter's summary, and what it predicts, measured.",
}
SHOWN = ["relu", "leaky_relu", "tanh", "sigmoid", "selu"]
MEANT = {"relu": "he", "leaky_relu": "he", "tanh": "xavier", "sigmoid": "xavier", "selu": "lecun"}
SHADES = {"normal_std_0.3": (style.GREY, "p"), "normal_std_0.03": (style.TAN, "P")}
CLOSE = 0.05  # up to which a predicted number is said to come out
DECADES = 9  # of a panel, up and down
LIMITS = [(-14, 4), (-14, 14)]  # of F14's rows, decades; the upper one goes on to every median


def _drawn(init):
    """Colour and marker of an initialiser; two single scales have some of their own."""
    return style.LevelStyle(*SHADES.get(init, style.level_style(init)))


# ---- F12 ----------------------------------------------------------------------------------------


def f12(table: pd.DataFrame):
    """Figure F12 and the data behind it."""
    signal = table[(table["statistic"] == "variance") & (table["layer"] > 0)]
    measured = {
        "signal": signal[signal["quantity"] == "signal"],
        "gradient": table[table["quantity"] == "gradient"],
    }
    predicted = {
        "signal": signal[signal["quantity"] == "signal_predicted"],
        "gradient": table[table["quantity"] == "gradient_predicted"],
    }
    by = ["activation", "init", "layer"]
    data = {name: style.summary(rows, by) for name, rows in measured.items()}
    fig, axes = style.panels([1.15] * len(SHOWN), columns=2, left=0.55, right=0.15, top=0.78,
                             between=(0.5, 0.42), bottom=0.72)  # fmt: skip
    last = int(data["signal"]["layer"].max())
    for row, activation in enumerate(SHOWN):
        for column, name in enumerate(("signal", "gradient")):
            ax, what = axes[row, column], ("variance", "gradient²")[column]
            ax.set_title(f"{label(activation)}: {what}")
            ax.set_yscale("log")
            ax.set_ylim(10.0**-DECADES, 10.0**DECADES)
            ticks = [-8, -4, 0, 4, 8]
            ax.set_yticks([10.0**tick for tick in ticks], [f"10{_power(tick)}" for tick in ticks])
            ax.set_yticks([], minor=True)
            ax.set_xlim(0, last + 1)
            ax.axhline(1, color=style.INK, linewidth=0.6)
            if row == len(SHOWN) - 1:
                ax.set_xlabel("hidden layer")
            else:
                ax.set_xticklabels([])
            for init in in_order(data[name]["init"]):
                _points_and_line(ax, init, *(
                    rows[(rows["activation"] == activation) & (rows["init"] == init)]
                    for rows in (data[name], predicted[name])
                ))  # fmt: skip
    handles = [
        Line2D([], [], color=_drawn(init).colour, marker=_drawn(init).marker, label=_said(init))
        for init in in_order(data["signal"]["init"])
    ]
    fig.legend(handles=handles, loc="upper left", ncols=4, fontsize=8, borderaxespad=0.4,
               handlelength=1.8, columnspacing=1.4)  # fmt: skip
    style.footer(fig, data["signal"])
    fig.text(0.98, 0.08 / fig.get_figheight(), "lines: exact recursion", fontsize=8, ha="right",
             va="baseline")  # fmt: skip
    fig.set_label(_kept(data["signal"], last))
    both = [rows.assign(quantity=name) for name, rows in data.items()]
    lines = pd.concat([predicted["signal"], predicted["gradient"]]).dropna(axis=1, how="all")
    return fig, pd.concat([*both, lines], ignore_index=True)


def _kept(signal, last):
    """From how much of the variance the start meant for each activation keeps over all layers."""
    by = signal.set_index(["activation", "init", "layer"])["median"]
    kept = {
        activation: by[activation, init, last] / by[activation, init, 1]
        for activation, init in MEANT.items()
        if {(activation, init, 1), (activation, init, last)} <= set(by.index)
    }
    said = ", ".join(
        f"{label(activation)} from {label(MEANT[activation])} {significant(ratio, 2)}"
        for activation, ratio in kept.items()
    )
    return (
        f"Over {last} layers, the outputs' variance is multiplied by these factors, where the "
        f"chapter wants 1: {said}."
    )


def _points_and_line(ax, init, points, line):
    """An initialiser in one panel: the seeds' medians and ranges, and the prediction."""
    colour, marker = _drawn(init)
    line = line.sort_values("layer")
    inside = line["value"].between(*ax.get_ylim())
    ax.plot(line["layer"], line["value"].where(inside), color=colour, linewidth=1.1)
    points = points[points["median"].between(*ax.get_ylim())]
    spread = [points["median"] - points["low"], points["high"] - points["median"]]
    ax.errorbar(points["layer"], points["median"], spread, fmt=marker, color=colour, markersize=3.2,
                elinewidth=0.8)  # fmt: skip


def _power(exponent):
    """An exponent as a superscript."""
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _said(init):
    """An initialiser's name with its variance."""
    variance = {"he": "2/n", "xavier": "2/(n+m)", "lecun": "1/n"}.get(init)
    return f"{label(init)}, {variance}" if variance else label(init)


# ---- F13 ----------------------------------------------------------------------------------------


def f13(table: pd.DataFrame):
    """Figure F13 and the data behind it."""
    quantities = {  # name, exact, what the chapter says: (number, its words)
        "relu_mean": ("mean, σ", moments.RELU_MEAN, [(0.0, "E[z]/2 = 0"), (0.398942, "σ/√(2π)")]),
        "relu_second_moment": (
            "second moment, σ²",
            moments.RELU_SECOND,
            [(0.5, "σ²/2 (proof)")],
        ),
        "relu_variance": ("variance, σ²", moments.RELU_VARIANCE, [(0.5, "σ²/2")]),
    }
    rows = table[table["quantity"].isin(list(quantities))]
    data = style.summary(rows, ["quantity", "numbers"])
    fig, axes = style.panels([2.0], columns=1, left=1.35, right=0.35, top=0.2, bottom=0.72)
    ax = axes[0, 0]
    ax.set(xlim=(-0.03, 0.65), ylim=(len(quantities) - 0.5, -0.65))
    ax.set_yticks(range(len(quantities)), [name for name, _, _ in quantities.values()])
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    for place, (quantity, (_, exact, said)) in enumerate(quantities.items()):
        ax.plot([exact] * 2, [place - 0.3, place + 0.14], color=style.INK, linewidth=1.2)
        ax.text(exact, place - 0.33, f"exact {exact:.3f}", fontsize=8, ha="center", va="bottom")
        for value, where in said:
            ax.plot(value, place + 0.29, **style.CHAPTER_MARK)
            ax.annotate(f"chapter: {where}", (value, place + 0.29), (7, -0.5), fontsize=8,
                        textcoords="offset points", va="center",
                        color=style.CHAPTER)  # fmt: skip
        for (colour, marker), numbers, shift in (
            ((style.BLUE, "o"), "normal", -0.16),
            ((style.GREY, "v"), "pre-activations", 0.04),
        ):
            mine = data[(data["quantity"] == quantity) & (data["numbers"] == numbers)]
            for point in mine.itertuples():
                ax.plot([point.low, point.high], [place + shift] * 2, color=colour, linewidth=2.2)
                ax.plot(point.median, place + shift, marker, color=colour)
    handles = [
        Line2D([], [], color=style.BLUE, marker="o", label="normal numbers"),
        Line2D([], [], color=style.GREY, marker="v", label="a layer's pre-activations"),
    ]
    fig.legend(handles=handles, loc="lower right", ncols=2, fontsize=8, borderaxespad=0.4)
    style.footer(fig, data)
    normal = data[data["numbers"] == "normal"].set_index("quantity")["median"]
    fig.set_label(
        f"ReLU of normal numbers has variance {number(normal['relu_variance'], 3)} σ² and mean "
        f"{number(normal['relu_mean'], 3)} σ; the chapter's σ²/2 is the second moment, measured "
        f"{number(normal['relu_second_moment'], 3)} σ²."
    )
    return fig, data


# ---- F14 ----------------------------------------------------------------------------------------

KINDS = {  # block and matrix: colour, marker, name
    ("plain", "Gaussian"): (style.BLUE, "o", "Gaussian weights"),
    ("plain", "orthogonal"): (style.SAGE, "D", "orthogonal weights"),
    ("residual", "Gaussian"): (style.VERMILLION, "s", "Gaussian, residual blocks"),
}


def f14(table: pd.DataFrame):
    """Figure F14 and the data behind it."""
    spectra = table[(table["quantity"] == "singular_value") & table["activation"].isin(SHOWN)]
    data = style.summary(spectra, ["activation", "init", "block", "matrix", "depth", "percentile"])
    data = data[data["n"] == data["n"].max()]  # what is zero for some seeds has no median
    columns = ["relu", "tanh", "sigmoid", "selu"]
    fig, axes = style.panels([1.75, 1.75], columns=len(columns), left=0.62, right=0.12, top=0.62,
                             between=(0.28, 0.75), bottom=0.95)  # fmt: skip
    depths = sorted(set(data["depth"]))
    middle = data[(data["percentile"] == 50) & (data["init"] == data["activation"].map(MEANT))]
    foot = min(LIMITS[0][0], middle["median"].min() - 2)
    for (row, column), ax in np.ndenumerate(axes):
        ax.set_title(label(columns[column]) + ("" if row else f", {label(MEANT[columns[column]])}"))
        style.log_axis(ax, "x", 0.85 * depths[0], 1.18 * depths[-1], depths)
        low, high = (LIMITS[1], (foot, LIMITS[0][1]))[row == 0]
        ax.set_ylim(low, high)
        step = 4 if high - low < 30 else 8
        ticks = range(-step * int(-low // step), high + 1, step)
        ax.set_yticks(ticks, [f"10{_power(tick)}" if tick else "1" for tick in ticks])
        if column:
            ax.set_yticklabels([])
        else:
            ax.set_ylabel("singular value")
        ax.axhline(0, color=style.INK, linewidth=0.9)
        if row:
            ax.set_xlabel("layers")
    for column, activation in enumerate(columns):
        of = data[data["activation"] == activation]
        for (block, matrix), drawn in KINDS.items():
            mine = of[(of["init"] == MEANT[activation]) & (of["block"] == block)]
            _band(axes[0, column], mine[mine["matrix"] == matrix], *drawn[:2])
        plain = of[(of["block"] == "plain") & (of["matrix"] == "Gaussian")]
        for init, mine in plain[plain["percentile"] == 100].groupby("init"):
            _largest(axes[1, column], mine, *_drawn(init))
    kinds = [Line2D([], [], color=c, marker=m, label=name) for c, m, name in KINDS.values()]
    fig.text(0.01, 1 - 0.17 / fig.get_figheight(), "middle 80 %:", fontsize=8, va="center")
    fig.legend(handles=kinds, loc="upper left", ncols=3, fontsize=8, borderaxespad=0.4,
               bbox_to_anchor=(0.11, 1))  # fmt: skip
    inits = in_order(data["init"])
    named = [Line2D([], [], color=_drawn(i).colour, marker=_drawn(i).marker, label=label(i))
             for i in inits]  # fmt: skip
    fig.legend(handles=named, loc="lower left", ncols=len(inits), fontsize=8, borderaxespad=0.4,
               bbox_to_anchor=(0.07, 0.26 / fig.get_figheight()), columnspacing=1.3)  # fmt: skip
    fig.text(0.01, 0.41 / fig.get_figheight(), "largest:", fontsize=8, va="center")
    style.footer(fig, data)
    meant = middle[middle["depth"] == depths[-1]]
    medians = {
        (block, matrix): span(
            10.0 ** meant.loc[(meant["block"] == block) & (meant["matrix"] == matrix), "median"]
        )
        for block, matrix in KINDS
    }
    fig.set_label(
        f"Through {depths[-1]} plain layers from the start meant for it, the median singular value "
        f"of a Jacobian is {medians['plain', 'Gaussian']} (isometry: 1), with orthogonal weights "
        f"{medians['plain', 'orthogonal']}, in residual blocks {medians['residual', 'Gaussian']}."
    )
    return fig, data


def _band(ax, rows, colour, marker):
    """The middle 80 % of the singular values by depth, down to the axis where they are zero, and
    their median, where it is not."""
    wide = rows.pivot(index="depth", columns="percentile", values="median")
    wide = wide.reindex(columns=[10, 50, 90])
    low = wide[10].fillna(ax.get_ylim()[0])
    ax.fill_between(wide.index, low, wide[90].fillna(low), color=colour, alpha=0.2, linewidth=0)
    for edge in (low, wide[90]):  # where bands overlap, their edges tell them apart
        ax.plot(wide.index, edge, color=colour, linewidth=0.7)
    told = wide[50].where(wide[50] > wide[90] - 14)  # what is smaller is an error of rounding
    ax.plot(wide.index, told, color=colour, marker=marker)


def _largest(ax, rows, colour, marker):
    """Medians and range of the largest singular value by depth."""
    rows = rows.sort_values("depth")
    ax.fill_between(rows["depth"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
    ax.plot(rows["depth"], rows["median"], color=colour, marker=marker)


# ---- Tables -------------------------------------------------------------------------------------


def t02(table: pd.DataFrame, ledger: dict) -> Table:
    """T02: a body for each rule, a row for each activation."""
    table = table[table["dataset"].isna() | (table["dataset"] == table["dataset"].dropna().iloc[0])]
    depths = table.loc[table["quantity"] == "forward_gain", "depth"].dropna()
    depth = 10 if (depths == 10).any() else int(depths.min())
    bodies = []
    for init, variance in (("xavier", "2/(nᵢₙ + nₒᵤₜ)"), ("he", "2/nᵢₙ"), ("lecun", "1/nᵢₙ")):
        weights = measured_cell(table, quantity="weight_variance", init=init, layers="equal")
        rows = []
        for activation in SHOWN:
            at = {"init": init, "activation": activation, "layers": "equal", "depth": depth}
            trained = [
                measured_cell(table, quantity="test_accuracy", init=init, activation=activation,
                              optimizer=optimizer, rate="own best")
                for optimizer in ("sgd", "adam")
            ]  # fmt: skip
            rows.append(
                Row(
                    [label(activation)],
                    [
                        Cell(text="best" if MEANT[activation] == init else ""),
                        weights if activation == SHOWN[0] else Cell(),
                        measured_cell(
                            table, quantity="forward_gain", statistic="second moment", **at
                        ),
                        measured_cell(table, quantity="backward_gain", **at),
                        *trained,
                        Cell(text=_best_at(table, init, activation)),
                    ],
                )
            )
        bodies.append(Body(f"{label(init)}: {variance}", rows))
    columns = [
        Column("chapter", "chapter", "words"),
        Column("Var(w) over the rule's", "measured", "ratio"),
        Column("forward, a layer", "measured", "gain"),
        Column("backward, a layer", "measured", "gain"),
        Column("SGD, %", "measured"),
        Column("Adam, %", "measured"),
        Column("highest", "measured", "words"),
    ]
    notes = [
        "Gains: second moment of the outputs and mean square of the gradient, factor a layer of "
        f"equal width, mean over the layers of networks {depth} deep. Accuracy: test accuracy "
        "after a short training, each start at its own best rate, chosen by the other seeds. "
        "Highest: the highest median of the three rules for this activation."
    ]
    groups = [("", 2), ("gain, untrained", 2), ("accuracy, trained", 3)]
    best = [row.cells[-1].text != "" for body in bodies for row in body.rows if row.cells[0].text]
    gains = [row.cells[2].value for body in bodies for row in body.rows if row.cells[0].text]
    finding = (
        f"The start that the chapter calls best has the highest accuracy with an optimizer for "
        f"{of_all(best, 'activations')}; untrained, it multiplies the signal by {span(gains)} a "
        "layer."
    )
    return with_digits(["Activation"], groups, columns, bodies, notes, finding=finding)


def _best_at(table, init, activation):
    """With which optimizers this start has the highest median accuracy for the activation."""
    rows = table[
        (table["quantity"] == "test_accuracy")
        & (table["activation"] == activation)
        & (table["rate"] == "own best")
    ]
    won = []
    for optimizer in in_order(rows["optimizer"]):
        medians = rows[rows["optimizer"] == optimizer].groupby("init")["value"].median()
        if medians.get(init, -1) == medians.max() and (medians == medians.max()).sum() == 1:
            won.append(label(optimizer))
    return ", ".join(won)


def t04(table: pd.DataFrame, ledger: dict) -> Table:
    """T04: a body for each formula, a row for each number that it predicts."""
    depths = table.loc[table["quantity"] == "forward_gain", "depth"].dropna()
    depth = 10 if (depths == 10).any() else int(depths.min())

    def gain(direction, init, activation, layers="equal"):
        at = {"statistic": "variance"} if direction == "forward" else {}
        return measured_cell(table, quantity=f"{direction}_gain", init=init, activation=activation,
                             layers=layers, depth=depth, **at)  # fmt: skip

    def ratio(activation):
        return measured_cell(table, quantity="gradient_ratio", activation=activation, depth=depth,
                             between="first and last")  # fmt: skip

    def weights(init):
        return measured_cell(table, quantity="weight_variance", init=init, layers="equal")

    def gradient_rank(init):
        cell = measured_cell(table, quantity="gradient_rank", init=init, activation="relu")
        return replace(cell, value=None, text=number(cell.value, 0))  # a count

    one, more = Cell(value=1.0), Cell(text="more than 1")
    lines = {
        "Symmetry breaking: w ≠ 0, random": [
            ("rank of the gradient by the second layer, zeros, ReLU", Cell(text="0 or 1"),
             gradient_rank("zeros")),
            ("the same, He", more, gradient_rank("he")),
        ],
        "Variance preservation: Var(hₗ) = Var(hₗ₋₁)": [
            ("factor a layer, ReLU from He", one, gain("forward", "he", "relu")),
            ("factor a layer, tanh from Xavier", one, gain("forward", "xavier", "tanh")),
            ("factor a layer, sigmoid from Xavier", one, gain("forward", "xavier", "sigmoid")),
            ("factor a layer, SELU from LeCun", one, gain("forward", "lecun", "selu")),
        ],
        "Xavier (tanh): Var(w) = 2/(nᵢₙ + nₒᵤₜ)": [
            ("variance of the weights over the rule's", one, weights("xavier")),
            ("forward, layers that widen fourfold", one,
             gain("forward", "xavier", "tanh", "widening")),
            ("backward, equal widths", one, gain("backward", "xavier", "tanh")),
            ("backward, layers that widen fourfold", one,
             gain("backward", "xavier", "tanh", "widening")),
        ],
        "He (ReLU): Var(w) = 2/nᵢₙ": [
            ("variance of the weights over the rule's", one, weights("he")),
            ("second moment that ReLU leaves", Cell(value=0.5),
             measured_cell(table, quantity="relu_second_moment", numbers="normal")),
            ("backward, equal widths", one, gain("backward", "he", "relu")),
        ],
        "Gradient flow: ∂L/∂W of the first and the last layer alike": [
            (f"log₂ of the ratio of lengths, {label(activation)} from {label(MEANT[activation])}",
             Cell(value=0.0), ratio(activation))
            for activation in ("relu", "tanh", "sigmoid", "selu")
        ],
    }  # fmt: skip
    bodies = [
        Body(formula, [Row([what], [chapter, found]) for what, chapter, found in rows])
        for formula, rows in lines.items()
    ]
    columns = [Column("chapter", "chapter", "number"), Column("measured", "measured", "number")]
    notes = [
        f"Untrained networks {depth} layers deep on real images; factors are means over layers of "
        "the variance over units and images, or of the gradient's mean square."
    ]
    pairs = [
        (row.cells[0].value, row.cells[1]) for body in bodies for row in body.rows if row.cells[1].n
    ]
    right = [abs(cell.value - said) <= CLOSE for said, cell in pairs if said is not None]
    finding = (
        f"Of the numbers that the chapter's formulas predict, {of_all(right, 'values')} come out "
        f"within {CLOSE} in untrained networks of {depth} layers."
    )
    return with_digits(["Prediction"], [("", 2)], columns, bodies, notes, finding=finding)
