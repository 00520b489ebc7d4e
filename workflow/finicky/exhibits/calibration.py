"""The verdict rules, judged: the figure and the table of how often they decide wrongly."""

import itertools
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.tables import Body, Cell, Column, Row, Table, rows_at
from finicky.numbers import number

FIGURES = {
    "calibration": "How often the verdict rules decide wrongly and how often not at all, by the "
    "distance of the truth from the limit that decides. A line is one rule, or several that come "
    "out the same, at the worst of four shapes of the seeds’ numbers, of the shares of their "
    "variance that seeds have in common, and of both sides; the level line above is the promise, "
    "5 % a side. On the limit nothing is right: what counts there is how rarely anything is said "
    "at all. Claims about what happens sometimes were tried with 200 conditions on the limit only, "
    "a single dot.",
}
TABLES = {
    "calibration-table": "Verdicts on simulated seeds whose truth is known, in % of the claims, ± "
    "the standard error of the simulation: the worst of four shapes of the seeds’ numbers, of all "
    "shares of the variance that belong to the seed, and of both sides. All rules see the same "
    "seeds. Clear is what the seeds should decide in nine of ten cases if their numbers are "
    "normal. Conditions that are not clear lie on the limit where there are few of them; where "
    "there are many, they fail. Claims about what happens sometimes, and those with clear, dropped "
    "or mirrored conditions, have normal numbers only.",
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
COLOURS = [
    style.BLUE, style.VERMILLION, style.SAGE, style.PLUM, style.TAN, style.OLIVE, style.GREY,
]  # fmt: skip
PROMISED = 5  # % wrong on either side of the limit


def calibration(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Wrong verdicts above, undecided ones below, by the distance of the truth from the limit: a
    line for each rule, of the fewest and of the most seeds."""
    shown = pd.MultiIndex.from_frame(table[["combined", "count"]]).isin(PANELS.values())
    data = table[~table["rule"].isin(CHANCELESS) & shown]
    data = data.assign(said=data["quantity"].where(data["quantity"] == "undecided", "wrong"))
    cell = ["said", "rule", "seeds", "distance", "combined", "count"]
    data = data.loc[data.groupby(cell)["value"].idxmax()]  # of sides, shapes and shares the worst
    wrong = data[data["said"] == "wrong"]
    few, many = data["seeds"].min(), data["seeds"].max()
    drawn = data[data["seeds"].isin([few, many])]
    same = _same(drawn.set_index([c for c in cell if c != "rule"] + ["rule"])["value"].unstack())
    rules = dict(zip(same, itertools.cycle(COLOURS), strict=False))
    fig, axes = style.panels(
        [1.7, 1.3], columns=len(PANELS), left=0.5, right=0.1, bottom=1.5, between=(0.14, 0.25)
    )
    for column, (name, (combined, count)) in enumerate(PANELS.items()):
        above, below = axes[:, column]
        here = drawn[(drawn["combined"] == combined) & (drawn["count"] == count)]
        here = here[here["rule"].isin(rules)]
        for ax, said in ((above, "wrong"), (below, "undecided")):
            _lines(ax, here[here["said"] == said], rules, dashed=many if many > few else None)
            ax.set_xlim(-0.4, len(DISTANCES) - 0.6)
            ax.set_xticks(range(len(DISTANCES)), [""] * len(DISTANCES))
            ax.tick_params(labelleft=column == 0)
        above.set_title(name)
        above.set_ylim(-0.5, max(16, 1.05 * wrong["value"].max()))
        above.axhline(PROMISED, color=style.INK, linewidth=0.8)
        below.set_ylim(-4, 104)
        below.set_xticks(range(len(DISTANCES)), DISTANCES.values(), rotation=90)
    axes[0, 0].set_ylabel("decided wrongly, %")
    axes[1, 0].set_ylabel("undecided, %")
    handles = [
        Line2D([], [], color=colour, label=", ".join([rule, *same[rule]]))
        for rule, colour in rules.items()
    ]
    handles += [
        Line2D([], [], color=style.INK, label=f"{n} seeds", linestyle=dashes)
        for n, dashes in sorted({many: style.DASHES, few: "-"}.items())
    ]
    fig.legend(
        handles=handles, ncols=4, fontsize=8, loc="lower left", borderaxespad=0.3,
        handlelength=2.4,
    )  # fmt: skip
    single = wrong[(wrong["combined"] == "conditions") & (wrong["count"] == 1)]
    several = wrong.drop(single.index)
    fig.set_label(
        "With seeds whose truth is known, the rules decide at most "
        f"{number(single['value'].max(), 1)} % of single conditions wrongly"
        + (
            f", and at most {number(several['value'].max(), 1)} % of claims of several conditions "
            f"or parts that lie alike ({_worst_case(several)})"
            if len(several)
            else ""
        )
        + f"; promised are {PROMISED} % a side."
    )
    return fig, data.drop(columns="said")


def _same(values):
    """{rule: other rules whose values are the same wherever they have any}, each in one place;
    values: a column for each rule."""
    same = {}
    for rule in values[values.count().sort_values(ascending=False, kind="stable").index]:
        known = values[values[rule].notna()]
        like = (first for first in same if (known[first] == known[rule]).all())
        first = next(like, None)
        if first is None:
            same[rule] = []
        else:
            same[first].append(rule)
    return same


def _worst_case(rows):
    """Of how many conditions or parts the claims are in the row with the largest value."""
    worst = rows.loc[rows["value"].idxmax()]
    return _claims(worst["combined"], worst["count"], worst["clear"])


def _claims(combined, count, clear):
    """Of how many conditions or parts simulated claims are, and what is special about them."""
    noun, _, how = combined.partition(", ")
    if not pd.isna(clear):
        how = f"{int(clear)} of them clear"
    return ", ".join(filter(None, [f"{count} {noun}" if count > 1 else "one condition", how]))


def _lines(ax, data, rules, dashed):
    """A line for each rule; those of so many seeds are dashed."""
    places = list(DISTANCES)
    for (rule, seeds), rows in data.groupby(["rule", "seeds"]):
        rows = rows.assign(place=rows["distance"].map(places.index)).sort_values("place")
        ax.plot(
            rows["place"], rows["value"], color=rules[rule], linewidth=1.3, marker=".",
            linestyle=style.DASHES if seeds == dashed else "-", markersize=4,
        )  # fmt: skip


# ---- The table ----------------------------------------------------------------------------------


def calibration_table(table: pd.DataFrame, ledger: dict) -> Table:
    """The verdict rules on simulated seeds: how often they decide wrongly, and how often not.

    The worst over shapes of the seeds' numbers, over what the conditions share, and over both
    sides; of claims of several conditions or parts over all rules as well. A note lists all that
    stays above the promise.
    """
    sizes = sorted(set(table["seeds"]))
    wrong, on = table["quantity"] != "undecided", table["distance"] == "on"
    clear = (table["distance"] == "clear") & (table["shape"] == "normal")
    parts = {
        "Wrong on the limit, %": wrong & on,
        "Wrong elsewhere, %": wrong & ~on,
        "Undecided where clear, %": ~wrong & clear,
    }
    by_chance, sometimes = ~table["rule"].isin(CHANCELESS), table["rule"] == "sometimes"

    def row(head, rules, **levels):
        shown = [rows_at(table[part & rules], **levels) for part in parts.values()]
        return Row([head], [worst_of(rows_at(rows, seeds=n)) for rows in shown for n in sizes])

    alike = {}  # rules that come out the same share a row
    for rule in dict.fromkeys(table["rule"][~sometimes]):
        found = row(rule, table["rule"] == rule, combined="conditions", count=1)
        alike.setdefault(tuple(cell.value for cell in found.cells), []).append(found)
    single = [
        replace(of[0], heads=[", ".join(found.heads[0] for found in of)]) for of in alike.values()
    ]
    of_several = {
        "A claim of several, any of the rules that depend on chance": by_chance & ~sometimes,
        "A claim about what happens sometimes": sometimes,
    }
    bodies = [Body("One condition", single)] + [
        Body(name, [row(head, rules, **levels) for head, levels in several(table[rules])])
        for name, rules in of_several.items()
    ]
    once = table["clear"].isna() & (table["combined"] != "conditions, each twice")
    luck = []
    for there in (on, ~on & once, ~on & table["clear"].notna()):
        rows = table[wrong & by_chance & there]
        case = f" ({_worst_case(rows)})" if len(rows) else ""
        luck.append((number(rows["value"].max(), 1), case))
    columns = [Column(f"{n} seeds", "measured", label) for label in parts for n in sizes]
    bodies = [body for body in bodies if body.rows]
    return Table(
        ["Rule"],
        [(label, len(sizes)) for label in parts],
        columns,
        bodies,
        notes=above_promise(bodies, columns),
        finding="On the limit of their rule, luck decides at most "
        f"{luck[0][0]} % of simulated claims{luck[0][1]}. Elsewhere "
        f"{luck[1][0]} % at most are wrong with like conditions, counted once{luck[1][1]}, and "
        f"{luck[2][0]} % where about as many hold as a side needs.",
    )


def several(table):
    """The simulated claims of several conditions or parts: (head, the levels of their rows)."""
    columns = ["combined", "count", "clear"]
    kinds = table[table["count"] > 1][columns].drop_duplicates().sort_values(columns)
    for combined, count, clear in kinds.itertuples(index=False):
        levels = {"combined": combined, "count": count}
        if not pd.isna(clear):
            levels["clear"] = clear
        yield _claims(combined, count, clear), levels


def above_promise(bodies, columns):
    """A note on either group of wrong verdicts: the rows that are wrong in more than the promise,
    by more than twice the error of the simulation, each at its worst."""
    notes = []
    for part in dict.fromkeys(c.quantity for c in columns if c.quantity.startswith("Wrong")):
        found = []
        for body in bodies:
            worst = [worst_cell(row, columns, part) for row in body.rows]
            said = [
                f"{row.heads[0]} ({number(cell.value, 1)} %, {cell.n} seeds)"
                for row, cell in zip(body.rows, worst, strict=True)
                if cell is not None
            ]
            if said:
                found.append(f"{body.label}: {'; '.join(said)}.")
        what = part.removesuffix(", %")
        notes.append(f"{what} in more than {PROMISED} %: {' '.join(found) or 'none.'}")
    return notes


def worst_cell(row, columns, part):
    """The largest of a row's cells in a group of columns that are surely above the promise."""
    above = [
        cell
        for cell, column in zip(row.cells, columns, strict=True)
        if column.quantity == part
        and cell.value is not None
        and cell.value - 2 * cell.error > PROMISED
    ]
    return max(above, key=lambda cell: cell.value, default=None)


def worst_of(rows):
    """The row with the largest value, and its error; empty if there is none."""
    if rows.empty:
        return Cell()
    worst = rows.loc[rows["value"].idxmax()]
    return Cell(worst["value"], n=int(worst["seeds"]), error=worst["error"])
