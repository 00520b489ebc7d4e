"""The verdict rules, judged: the figure and the table of how often they decide wrongly."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.tables import Body, Cell, Column, Row, Table, rows_at

FIGURES = {
    "calibration": "How often the verdict rules decide wrongly and how often not at all, by the "
    "distance of the truth from the limit that decides. A dot is one rule with one shape of the "
    "seeds’ numbers, a bar twice the simulation error of the worst; the dashed line is the "
    "promise, 5 % a side. Claims of several conditions or parts have seeds that share nothing or "
    "much of their variance. On the limit nothing is right: what counts there is how rarely "
    "anything is said at all.",
}
TABLES = {
    "calibration-table": "Verdicts on simulated seeds whose truth is known, in % of the claims, ± "
    "the standard error of the simulation: the worst of four shapes of the seeds’ numbers, of all "
    "shares of the variance that belong to the seed, and of both sides. All rules see the same "
    "seeds. Clear is what the seeds should decide in nine of ten cases if their numbers are "
    "normal.",
}
CHANCELESS = ["identity", "construction"]  # rules on which chance has no say


# ---- The figure ---------------------------------------------------------------------------------

PANELS = {
    "one condition": ("conditions", 1), "20 conditions": ("conditions", 20),
    "200 conditions": ("conditions", 200), "4 parts": ("parts", 4), "20 parts": ("parts", 20),
}  # fmt: skip
DISTANCES = {
    "zero": "no effect", "inside": "¼ SD inside", "on": "on the limit",
    "outside": "¼ SD outside", "clear": "clear effect",
}  # fmt: skip
COLOURS = [style.BLUE, style.TAN, style.PLUM, style.SAGE, style.VERMILLION, style.OLIVE]


def calibration(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Wrong verdicts above, undecided ones below, by the distance of the truth from the limit."""
    data = table[~table["rule"].isin(CHANCELESS)]
    wrong, undecided = data[data["quantity"] != "undecided"], data[data["quantity"] == "undecided"]
    cell = ["rule", "shape", "seeds", "distance", "shared", "combined", "count"]
    wrong = wrong.loc[wrong.groupby(cell)["value"].idxmax()]  # the worse side
    sizes = {n: COLOURS[place % len(COLOURS)] for place, n in enumerate(sorted(set(data["seeds"])))}
    fig, axes = style.panels(
        [1.7, 1.3], columns=len(PANELS), left=0.5, right=0.1, bottom=1.2, between=(0.14, 0.25)
    )
    for column, (name, (combined, count)) in enumerate(PANELS.items()):
        above, below = axes[:, column]
        for ax, rows in ((above, wrong), (below, undecided)):
            here = rows[(rows["combined"] == combined) & (rows["count"] == count)]
            draw_dots(ax, here, sizes)
            ax.set_xlim(-0.6, len(DISTANCES) - 0.4)
            ax.set_xticks(range(len(DISTANCES)), [""] * len(DISTANCES))
            ax.tick_params(labelleft=column == 0)
        above.set_title(name)
        above.set_ylim(-0.5, max(16, (wrong["value"] + 2.2 * wrong["error"]).max()))
        above.axhline(5, color=style.INK, linestyle=style.DASHES, linewidth=0.8)
        below.set_ylim(-4, 104)
        below.set_xticks(range(len(DISTANCES)), DISTANCES.values(), rotation=90)
    axes[0, 0].set_ylabel("decided wrongly, %")
    axes[1, 0].set_ylabel("undecided, %")
    width, height = fig.get_size_inches()
    for place, (n, colour) in enumerate(sizes.items()):
        at = (0.06 + 0.8 * place) / width
        fig.text(at, 0.08 / height, f"● {n} seeds", color=colour, fontsize=8, va="baseline")
    single = wrong[(wrong["combined"] == "conditions") & (wrong["count"] == 1)]
    fig.set_label(
        "Wrong verdicts by the distance of the truth from the limit that decides: at most "
        f"{single['value'].max():.1f} % on single conditions, {wrong['value'].max():.1f} % "
        "on claims of several conditions or parts."
    )
    return fig, data


def draw_dots(ax, rows, sizes):
    """One dot per row at its distance, side by side for the numbers of seeds ({number: colour});
    equal ones once."""
    rows = rows.sort_values("value").drop_duplicates(["seeds", "distance", "value"])
    worst = rows.drop_duplicates(["seeds", "distance"], keep="last")
    for place, (n, colour) in enumerate(sizes.items()):
        beside = 0.22 * (place - (len(sizes) - 1) / 2)
        every, most = (of[of["seeds"] == n] for of in (rows, worst))
        x = every["distance"].map(list(DISTANCES).index) + beside
        ax.plot(x, every["value"], "o", color=colour, markersize=2.4, markeredgewidth=0)
        ends = most["value"] - 2 * most["error"], most["value"] + 2 * most["error"]
        ax.vlines(x[most.index], *ends, color=colour, linewidth=0.7)


# ---- The table ----------------------------------------------------------------------------------


def calibration_table(table: pd.DataFrame, ledger: dict) -> Table:
    """The verdict rules on simulated seeds: how often they decide wrongly, and how often not.

    The worst over shapes of the seeds' numbers, over what the conditions share, and over both
    sides; of claims of several conditions or parts over all rules as well.
    """
    sizes = sorted(set(table["seeds"]))
    wrong, on = table["quantity"] != "undecided", table["distance"] == "on"
    clear = (table["distance"] == "clear") & (table["shape"] == "normal")
    parts = {
        "Wrong on the limit, %": table[wrong & on],
        "Wrong elsewhere, %": table[wrong & ~on],
        "Undecided where clear, %": table[~wrong & clear],
    }

    def row(head, **levels):
        cells = [
            worst_of(rows_at(part, seeds=n, **levels)) for part in parts.values() for n in sizes
        ]
        return Row([head], cells)

    single = {"combined": "conditions", "count": 1}
    several = sorted(set(zip(table["combined"], table["count"], strict=True)))[1:]
    bodies = [
        Body(
            "One condition",
            [row(rule, rule=rule, **single) for rule in dict.fromkeys(table["rule"])],
        ),
        Body(
            "A claim of several, any of the rules that depend on chance",
            [row(f"{count} {name}", combined=name, count=count) for name, count in several],
        ),
    ]
    return Table(
        ["Rule"],
        [(label, len(sizes)) for label in parts],
        [Column(f"{n} seeds", "measured", label) for label in parts for n in sizes],
        [body for body in bodies if body.rows],
    )


def worst_of(rows):
    """The row with the largest value, and its error; empty if there is none."""
    if rows.empty:
        return Cell()
    worst = rows.loc[rows["value"].idxmax()]
    return Cell(worst["value"], n=int(worst["seeds"]), error=worst["error"])
