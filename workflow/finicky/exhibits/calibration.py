"""The verdict rules, judged: the figure and the table of how often they decide wrongly."""

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.tables import Body, Cell, Column, Row, Table, rows_at
from finicky.numbers import number

FIGURES = {
    "calibration": "How often the verdict rules decide wrongly and how often not at all, by what a "
    "claim consists of and by where the truth lies. A mark is the rule with the largest share, at "
    "the worst of four shapes of the seeds’ numbers, of the shares of their variance that seeds "
    "have in common, and of both sides; its line reaches to the rule with the smallest. The "
    "upright line is the promise, 5 % a side. On the limit nothing is right: what counts there is "
    "how rarely anything is said at all.",
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

SIZES = {
    "one condition": ("conditions", 1), "20 conditions": ("conditions", 20),
    "200 conditions": ("conditions", 200), "4 parts": ("parts", 4), "20 parts": ("parts", 20),
}  # fmt: skip
# Where the truth lies: the distances that are one case, its colour and marker.
CASES = {
    "on the limit": (["on"], style.VERMILLION, "o"),
    "¼ SD beside it": (["inside", "outside"], style.TAN, "P"),
    "clear effect": (["clear"], style.BLUE, "s"),
    "no effect": (["zero"], style.OLIVE, "v"),
}
PROMISED = 5  # % wrong on either side of the limit


def calibration(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Wrong verdicts on the left, undecided ones on the right: a row for each size of claim, in it
    lines for each place of the truth over the rules, with the fewest and with the most seeds."""
    shown = pd.MultiIndex.from_frame(table[["combined", "count"]]).isin(SIZES.values())
    data = table[~table["rule"].isin(CHANCELESS) & shown]
    data = data.assign(said=data["quantity"].where(data["quantity"] == "undecided", "wrong"))
    cell = ["said", "rule", "seeds", "distance", "combined", "count"]
    data = data.loc[data.groupby(cell)["value"].idxmax()]  # of sides, shapes and shares the worst
    wrong = data[data["said"] == "wrong"]
    few, many = data["seeds"].min(), data["seeds"].max()
    fig, axes = style.panels([3.4], columns=2, left=1.15, right=0.15, bottom=0.7, between=(0.3, 0))
    for ax, said, highest in (
        (axes[0, 0], "wrong", max(16, 1.05 * wrong["value"].max())),
        (axes[0, 1], "undecided", 100),
    ):
        for row, (combined, count) in enumerate(SIZES.values()):
            here = data[(data["combined"] == combined) & (data["count"] == count)]
            _ranges(ax, here[here["said"] == said], row, sorted({few, many}))
        ax.set_ylim(len(SIZES) - 0.5, -0.5)
        ax.set_yticks(range(len(SIZES)), SIZES if said == "wrong" else [""] * len(SIZES))
        ax.set_xlim(-0.02 * highest, 1.02 * highest)
        ax.grid(False, axis="y")
        ax.grid(True, axis="x")
        for edge in range(1, len(SIZES)):
            ax.axhline(edge - 0.5, color=style.INK, linewidth=0.6, alpha=0.14)
    axes[0, 0].axvline(PROMISED, color=style.INK, linewidth=0.8)
    axes[0, 0].set_title("Decided wrongly, %")
    axes[0, 1].set_title("Undecided, %")
    handles = [
        Line2D([], [], color=colour, marker=marker, label=case)
        for case, (_, colour, marker) in CASES.items()
    ]
    handles += [
        Line2D(
            [], [], color=style.INK, linestyle="none", marker="o", label=f"{seeds} seeds",
            markerfacecolor="none" if hollow else style.INK,
        )
        for seeds, hollow in {many: True, few: False}.items()
    ]  # fmt: skip
    fig.legend(handles=handles, ncols=6, fontsize=8, loc="lower left", borderaxespad=0.3)
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


def _ranges(ax, data, row, sizes):
    """A line for each case and number of seeds from the smallest to the largest share of any rule,
    about a row."""
    step = 0.8 / (len(CASES) * len(sizes))
    y = row - 0.4 + step / 2
    for distances, colour, marker in CASES.values():
        for seeds in sizes:
            here = data[data["distance"].isin(distances) & (data["seeds"] == seeds)]
            values = here.groupby("rule")["value"].max()
            if len(values):
                ax.plot([values.min(), values.max()], [y, y], color=colour, linewidth=1)
                ax.plot(
                    values.max(), y, color=colour, marker=marker, markersize=3.6, clip_on=False,
                    markerfacecolor=colour if seeds == sizes[0] else "none",
                )  # fmt: skip
            y += step


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
