"""What one's own questions found, setting by setting, and the accuracies of the sub-grids."""

import pandas as pd

from finicky import questions
from finicky.evidence.words import level_words, many, spoken_unit, with_unit
from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.exhibits.tables import rows_at
from finicky.labels import in_order
from finicky.numbers import number

FIGURES = {
    "settings": "A row for each setting, a panel for each question: the median over the seeds, and "
    "the range of all of them. Of five to seven seeds that is the interval that a verdict goes by; "
    "of more it is wider, and the interval stands on the card. Right of 0 the first of two arms is "
    "ahead, or a trend is as claimed.",
    "sub-grids": "Each sub-grid of the config, a cell for each of its networks. A bar below a "
    "number is the share of seeds whose loss became infinite or NaN.",
}
MOST = 48  # rows of a panel; of more settings the lowest and the highest are drawn
WIDEST = 9  # columns of a heat map
LABELS = 3.3  # inches left of the axes, for the names of settings


def settings(table: pd.DataFrame):
    """The settings of every question, sorted by their medians. Returns (Figure, summary behind it),
    or None without a question."""
    asked = table[table["quantity"].isin(questions.FORMS)]
    if asked.empty:
        return None
    panels = [_summary(rows) for _, rows in asked.groupby("question", sort=False)]
    shown = [_ends(rows) for rows in panels]
    heights = [0.19 * len(rows) + 0.2 for rows in shown]
    fig, axes = style.panels(
        heights, 1, left=LABELS, right=0.2, top=0.35, bottom=0.75, between=(0, 0.85)
    )
    for rows, whole, ax in zip(shown, panels, axes[:, 0], strict=True):
        places = range(len(rows))
        ax.hlines(places, rows["low"], rows["high"], color=style.BLUE, linewidth=1.6)
        ax.plot(rows["median"], places, "o", color=style.BLUE)
        ax.axvline(0, color=style.INK, linewidth=0.8)
        ax.set_yticks(places, rows["setting"])
        ax.set_ylim(-0.7, len(rows) - 0.3)
        ax.grid(axis="x")
        left_out = f", {len(rows)} of {len(whole)} settings" if len(rows) < len(whole) else ""
        ax.set_title(f"{rows['question'].iloc[0]}{left_out}", loc="left")
        ax.set_xlabel(_measured(rows))
    data = pd.concat(panels, ignore_index=True)
    style.footer(fig, data)
    said = f"{len(data)} settings of {len(panels)} questions, with the range of their seeds."
    fig.set_label(said if len(panels) > 2 else " ".join(map(_finding, panels)))
    return fig, data


def _summary(rows):
    """Median, range and seeds of one question's settings, by median, each with its name."""
    columns = [axis for axis in questions.AXES if rows[axis].nunique() > 1]
    by = [*columns, "question", "metric", "quantity"]
    data = style.summary(rows, by).sort_values("median", ignore_index=True)
    return data.assign(setting=_names(data, columns))


def _names(data, columns):
    """What tells settings apart, in words."""
    rows = data[columns].to_dict("records") if columns else [{}] * len(data)
    return [
        level_words({axis: level for axis, level in row.items() if not pd.isna(level)})
        or "the one setting"
        for row in rows
    ]


def _ends(rows):
    """All rows, or of too many the lowest and the highest."""
    half = MOST // 2
    return rows if len(rows) <= MOST else pd.concat([rows[:half], rows[-half:]])


def _measured(rows):
    """What the axis of a panel is."""
    form, metric = rows["quantity"].iloc[0], questions.metric(rows["metric"].iloc[0])
    if metric.event:
        return f"whether they {metric.words}" + ("" if form == "share" else ", difference")
    unit = metric.unit if form == "value" else metric.difference_unit
    of = {"compare": "ahead in ", "trend": "per doubling, "}.get(form, "")
    return f"{of}{metric.words}{f' ({unit})' if unit else ''}"


def _finding(rows):
    """Where the medians of a question lie, in a sentence."""
    form, metric = rows["quantity"].iloc[0], questions.metric(rows["metric"].iloc[0])
    unit = metric.unit if form == "value" else metric.difference_unit
    medians = span(rows["median"], spoken_unit(unit))
    said = f"{rows['question'].iloc[0]}: in {many(len(rows), 'setting')} the median is {medians}"
    if form in ("value", "share"):
        return f"{said}."
    return f"{said}, in {(rows['median'] > 0).sum()} of them above 0."


def sub_grids(table: pd.DataFrame):
    """A heat map of test accuracy for each sub-grid: the axis that a question compares, or the one
    with the most levels, against all others; colours begin at the lowest accuracy of a guess.
    Returns (Figure, summary behind it), or None without a sub-grid of which two levels differ."""
    asked = table[table["quantity"].isin(questions.FORMS)]
    compared = [axis for axis in questions.AXES if asked[axis].isna().any()]
    guess = 100 / table["classes_a"].max()
    maps = []
    for name, rows in rows_at(table, quantity="test_accuracy").groupby("subgrid", sort=False):
        found = _map(name, rows, compared)
        if found is not None:
            maps.append(found)
    if not maps:
        return None
    heights = [0.23 * len(data["setting"].unique()) for _, _, data in maps]
    fig, axes = style.panels(
        heights, 1, left=LABELS, right=0.1, top=1.35, bottom=0.6, between=(0, 1.05)
    )
    for (name, column, data), ax in zip(maps, axes[:, 0], strict=True):
        levels = list(data[column].unique())
        texts = all(isinstance(level, str) for level in levels)
        columns = in_order(levels) if texts else sorted(levels)
        names = list(data["setting"].unique())[::-1]
        style.heat_map(ax, data, column, columns, "setting", names, guess)
        ax.set_title(name, loc="left")
    style.heat_map_key(fig, "median test accuracy (%)", guess)
    data = pd.concat([one.assign(subgrid=name) for name, _, one in maps], ignore_index=True)
    best = data.loc[data["median"].idxmax()]
    at = level_words({axis: best[axis] for axis in questions.AXES if axis in best.dropna()})
    fig.set_label(
        f"Of {len(data)} networks the best reaches {with_unit(number(best['median'], 1), '%')} of "
        f"test accuracy: {at}."
    )
    return fig, data


def _map(name, rows, compared):
    """(name, column, summary with `setting`) of one sub-grid; None if nothing varies in it."""
    varying = [axis for axis in questions.AXES if rows[axis].nunique() > 1]
    fits = [axis for axis in varying if rows[axis].nunique() <= WIDEST]
    if not fits:
        return None
    first = [axis for axis in fits if axis in compared]
    column = first[0] if first else max(fits, key=lambda axis: rows[axis].nunique())
    data = style.summary(rows, varying)
    others = [axis for axis in varying if axis != column]
    if column == "optimizer" and "learning_rate" in others:  # its rate goes with it
        data["column"], _ = style.trained_by(data)
        others.remove("learning_rate")
        column = "column"
    data["setting"] = _names(data, others)
    return name, column, data
