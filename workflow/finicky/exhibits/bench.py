"""What `make bench` shows: one figure, one table, and the summary for machines."""

import statistics
from dataclasses import replace

import pandas as pd
from matplotlib.colors import to_rgb

from finicky.exhibits import style
from finicky.exhibits.tables import Body, Column, Row, Table, measured_cell, rows_at, with_digits
from finicky.numbers import number
from finicky.runs import RUNS_A_SEED

FIGURES = {
    "bench": "Left: a step lies below the lower of two limits, the rate of the matrix products and "
    "the bytes it must move at the speed of memory; caches lift small works above the second. "
    "Right: where the engine's step spends its time.",
}
TABLES = {
    "bench-table": "Ways of writing it took turns in one process on one core; batches of 64, width "
    "128. Efficiency: time of the matrix products alone, at the rate they reach with all operands "
    "in cache, over the time of the step. Probes: their share of a short run's time.",
}
DRAWN = {
    "engine": (style.BLUE, "o"),
    "one by one": (style.VERMILLION, "s"),
    "textbook": (style.GREY, "^"),
}
PARTS = {
    "images": style.SAGE,
    "forward": style.BLUE,
    "loss": style.LAVENDER,
    "backward": style.VERMILLION,
    "optimizer": style.PLUM,
}
COMPARED = {  # way: column of the table
    "textbook": "textbook loop",
    "vmap": "vmap",
    "stacked autograd": "stacked, autograd",
    "engine": "engine",
}


def works(table: pd.DataFrame) -> list[str]:
    """The works in the order in which they were measured."""
    return list(table["work"].dropna().unique())


# ---- Figure -------------------------------------------------------------------------------------


def bench(table: pd.DataFrame):
    """Speed against the machine's limits, and the parts of a step: (Figure, speeds behind it)."""
    gflops = rows_at(table, quantity="gflops")
    speed = style.summary(gflops[gflops["way"].isin(DRAWN)], ["work", "way"])
    intensity = rows_at(table, quantity="flops_per_byte").set_index("work")["value"]
    speed["flops_per_byte"] = speed["work"].map(intensity)
    limit = rows_at(gflops, way="products")["value"].median()
    memory = rows_at(table, quantity="copy_gb_per_second")["value"].median()
    share = style.summary(rows_at(table, quantity="share_of_step"), ["work", "part"])

    fig, axes = style.panels([3.1], columns=2, left=0.55, right=0.75, between=(1.75, 0))
    roof, parts = axes[0]
    _roofline(roof, speed, limit, memory)
    _parts(parts, share, works(table))
    turns = f"median of {gflops['seed'].nunique()} interleaved turns on one core"
    fig.text(0.06 / fig.get_figwidth(), 0.08 / fig.get_figheight(), turns, fontsize=8)
    engine = rows_at(speed, way="engine").set_index("work")["median"]
    fig.set_label(
        f"Speed of a training step against the limit of {limit:.0f} GFLOP/s that the matrix "
        "products alone reach: "
        + ", ".join(f"{work} {engine[work]:.0f}" for work in works(table))
        + " GFLOP/s; and the share of each part of a step."
    )
    return fig, speed


def _roofline(ax, speed, limit, memory):
    """GFLOP/s over FLOP per byte: two limits, and a point for every work and way."""
    ax.set_title("Speed (GFLOP/s)")
    style.log_axis(ax, "x", 1, 100)
    style.log_axis(ax, "y", 0.4 * speed["median"].min(), 2.5 * limit)
    ax.set_xlabel("FLOP per byte that a step must move")
    crossing = limit / memory
    ax.plot([1, crossing, 100], [memory, limit, limit], color=style.INK, linewidth=1)
    ax.text(95, 1.1 * limit, f"matrix products alone: {limit:.0f}", ha="right", va="bottom")
    rising = f"rising: {memory:.0f} GB/s from memory"
    ax.text(0.03, 0.98, rising, transform=ax.transAxes, va="top")
    for way, (colour, marker) in DRAWN.items():
        points = rows_at(speed, way=way)
        ax.plot(points["flops_per_byte"], points["median"], marker, color=colour)
        last = points.sort_values("flops_per_byte").iloc[-1]
        ax.text(1.12 * last["flops_per_byte"], last["median"], way, color=colour, va="center")


def _parts(ax, share, order):
    """Stacked bars: the share of each part of the engine's step, by work, the first on top."""
    ax.set_title("Parts of the engine's step (%)")
    for y, work in enumerate(reversed(order)):
        left = 0.0
        rows = rows_at(share, work=work).set_index("part")["median"]
        for part, colour in PARTS.items():
            width = 100 * rows.get(part, 0.0)
            ax.barh(y, width, left=left, height=0.62, color=colour)
            if width >= 9:
                ink = "black" if style.luminance(to_rgb(colour)) > 0.2 else "white"
                ax.text(left + width / 2, y, f"{width:.0f}", ha="center", va="center", color=ink)
            if y == len(order) - 1:
                turn = 30 if width < 12 else 0
                ax.text(left + width / 2, y + 0.42, part, ha="center", va="bottom", color=colour,
                        rotation=turn, fontsize=8)  # fmt: skip
            left += width
    ax.set_yticks(range(len(order)), labels=list(reversed(order)))
    ax.set_xlim(0, 100)
    ax.set_ylim(-0.5, len(order) - 0.1)


# ---- Table --------------------------------------------------------------------------------------


def bench_table(table: pd.DataFrame, ledger: dict) -> Table:
    """A row for each work: a step's time, the ways' speeds, and how good the engine is."""
    shares = table["quantity"].isin(["gemm_efficiency", "probe_share"])
    table = table.assign(value=table["value"] * shares.map({True: 100, False: 1}))
    rows = []
    for work in works(table):
        mine = rows_at(table, work=work)
        engine = rows_at(mine, way="engine")
        cells = [
            measured_cell(engine, quantity="ms_per_run_step"),
            *(measured_cell(mine, quantity="ratio_to_one_by_one", way=way) for way in COMPARED),
            measured_cell(engine, quantity="ratio_to_textbook"),
            measured_cell(engine, quantity="gemm_efficiency"),
            measured_cell(engine, quantity="probe_share"),
        ]
        rows.append(Row([work, str(engine["fused"].iloc[0])], cells))
    groups = [("Time", 1), ("Speed, networks one by one = 1", len(COMPARED)), ("Engine", 3)]
    columns = [
        Column("ms", "measured", "time"),
        *(Column(name, "measured", "speed") for name in COMPARED.values()),
        Column("over textbook", "measured", "over textbook"),
        Column("efficiency, %", "measured", "efficiency"),
        Column("probes, %", "measured", "probes"),
    ]
    sets = ", ".join(sorted(set(table["instruction_set"])))
    start = rows_at(table, quantity="start_seconds")["value"].median()
    shows = (
        f"Measured with {sets}. {RUNS_A_SEED} fused runs each are of one seed and share its "
        "images, as the grid has them on average. A new training process is ready after "
        f"{number(start, 1)} s."
    )
    made = with_digits(["Work", "Runs fused"], groups, columns, [Body("", rows)], shows=shows)
    return replace(made, over="turn")


# ---- Summary ------------------------------------------------------------------------------------


def summary(table: pd.DataFrame) -> dict:
    """What results/bench/engine.json holds: {"works": {work: ...}, and medians of the rest}.

    Under "spread", and outside of the works, a number is {"median", "low", "high"} over the
    repetitions; "R" is the number of networks that train together. What was not measured here (a
    GPU) is left out.
    """

    def spread(rows):
        values = rows["value"].tolist()
        return {"median": statistics.median(values), "low": min(values), "high": max(values)}

    found = {}
    for work in works(table):
        rows = rows_at(table, work=work)
        engine = rows_at(rows, way="engine")
        whole = engine[engine["part"].isna()].groupby("quantity")
        spreads = {quantity: spread(of) for quantity, of in whole}
        ways = rows_at(rows, quantity="ratio_to_one_by_one").groupby("way", sort=False)
        parts = rows_at(engine, quantity="share_of_step").groupby("part", sort=False)
        found[work] = {quantity: of["median"] for quantity, of in spreads.items()} | {
            "R": int(engine["fused"].iloc[0]),
            "instruction_set": engine["instruction_set"].iloc[0],
            "spread": spreads,
            "ways": {way: spread(of)["median"] for way, of in ways},
            "shares": {part: spread(of)["median"] for part, of in parts},
        }
    rest = table[table["work"].isna()].dropna(subset="value").groupby("quantity")
    return {"works": found} | {quantity: spread(of) for quantity, of in rest}
