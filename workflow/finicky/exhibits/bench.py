"""What `make bench` shows: one figure, one table, and the summary for machines."""

import itertools
import statistics
from dataclasses import replace

import pandas as pd

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.exhibits.tables import Body, Column, Row, Table, measured_cell, rows_at, with_digits
from finicky.numbers import number, significant
from finicky.runs import RUNS_A_SEED

FIGURES = {
    "bench": "Left: a step lies below the lower of two limits, the rate of the matrix products and "
    "the bytes it must move at the speed of memory; caches lift small works above the second. "
    "Right: where the engine's step spends its time. Below, where there is a GPU: its speed and "
    "limits, by how many networks train together, and a step's time there and on one core.",
}
TABLES = {
    "bench-table": "Ways of writing it took turns in one process on one core; batches of 64, width "
    "128. Efficiency: time of the matrix products alone, at the rate they reach with all operands "
    "in cache, over the time of the step. Probes: their share of a short run's time. On a GPU: "
    "networks of a fused batch × batches side by side, a graph a step.",
}
NO_GPU = "no GPU on this machine"
MANY = "many networks, graphs"
DRAWN = {
    "engine": (style.BLUE, "o"),
    "one by one": (style.VERMILLION, "s"),
    "textbook": (style.GREY, "^"),
}
SIZES = [(style.BLUE, "o"), (style.VERMILLION, "s"), (style.SAGE, "D"), (style.PLUM, "X")]
BESIDE = {  # in the panel of times
    "one core": (style.GREY, "^"),
    "one network, eager": (style.TAN, "P"),
    "one network, a graph": (style.LAVENDER, "v"),
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


def sizes(table: pd.DataFrame) -> list[tuple[int, int]]:
    """How many networks and streams the GPU was timed with; none where there is no GPU."""
    timed = rows_at(table, quantity="us_per_run_step", way=MANY)
    pairs = timed[["fused", "streams"]].drop_duplicates()
    return [(int(fused), int(streams)) for fused, streams in pairs.itertuples(index=False)]


# ---- Figure -------------------------------------------------------------------------------------


def bench(table: pd.DataFrame):
    """Speed against the machine's limits, and the parts of a step: (Figure, speeds behind it)."""
    speed = speeds(table, list(DRAWN), ["work", "way"])
    limit = rows_at(table, quantity="gflops", way="products")["value"].median()
    memory = rows_at(table, quantity="copy_gb_per_second")["value"].median()
    share = style.summary(rows_at(table, quantity="share_of_step"), ["work", "part"])

    gpu = bool(sizes(table))
    heights = [3.1, 3.1] if gpu else [3.1]
    fig, axes = style.panels(heights, columns=2, left=0.55, right=0.75, between=(1.75, 0.95))
    roof, parts = axes[0]
    style.log_axis(roof, "y", 0.4 * speed["median"].min(), 2.5 * limit)
    roof.set_title("Speed (GFLOP/s)")
    _limits(roof, (1, 100), limit, memory, f"matrix products alone: {limit:.0f}", "GB/s")
    for way, (colour, marker) in DRAWN.items():
        points = rows_at(speed, way=way)
        roof.plot(points["flops_per_byte"], points["median"], marker, color=colour)
        last = points.sort_values("flops_per_byte").iloc[-1]
        style.name(roof, way, (1.12 * last["flops_per_byte"], last["median"]), colour, marker)
    _parts(parts, share, works(table))
    engine = rows_at(speed, way="engine").set_index("work")["median"]
    shares = 100 * engine / limit
    gain = style.summary(rows_at(table, quantity="ratio_to_one_by_one", way="engine"), ["work"])
    said = (
        f"A fused training step runs at {span(engine, 'GFLOP/s', 0)}, {span(shares, '%', 0)} of "
        f"what its matrix products alone reach, and {span(gain['median'])} times as fast as "
        "networks trained one by one."
    )
    if gpu:
        on_card, of_card = _gpu(table, *axes[1])
        speed, said = pd.concat([speed, on_card]), f"{said} {of_card}"
    repetitions = rows_at(table, quantity="gflops")["seed"].nunique()
    turns = f"median of {repetitions} interleaved turns on one core"
    turns += f"; {table['card'].dropna().iloc[0]}" if gpu else f"; {NO_GPU}"
    fig.text(0.06 / fig.get_figwidth(), 0.08 / fig.get_figheight(), turns, fontsize=8)
    fig.set_label(said)
    return fig, speed


def speeds(table, ways, by):
    """GFLOP/s of some ways, summed up `by`, with the intensity of the work."""
    gflops = rows_at(table, quantity="gflops")
    speed = style.summary(gflops[gflops["way"].isin(ways)], by)
    way = MANY if ways == [MANY] else "engine"
    intensity = rows_at(table, quantity="flops_per_byte", way=way).set_index("work")["value"]
    return speed.assign(flops_per_byte=speed["work"].map(intensity))


def _limits(ax, ends, limit, memory, flat, unit):
    """The frame of a roofline: FLOP per byte between `ends`, and the two limits of speed."""
    low, high = ends
    style.log_axis(ax, "x", low, high)
    ax.set_xlabel("FLOP per byte that a step must move")
    ax.plot([low, limit / memory, high], [low * memory, limit, limit], color=style.INK, linewidth=1)
    ax.text(0.95 * high, 1.1 * limit, flat, ha="right", va="bottom")
    rising = f"rising: {significant(memory, 2)} {unit} from memory"
    ax.text(0.03, 0.98, rising, transform=ax.transAxes, va="top")


def _gpu(table, roof, times):
    """The two panels of a GPU: (its speeds, what they show in words)."""
    speed = speeds(table, [MANY], ["work", "way", "fused", "streams"])
    tera = speed["median"] / 1000
    limit, memory = (
        rows_at(table, quantity=quantity)["value"].median() / 1000
        for quantity in ("gpu_product_gflops", "gpu_copy_gb_per_second")
    )
    roof.set_title("GPU: speed (TFLOP/s)")
    style.log_axis(roof, "y", 0.4 * tera.min(), 2.5 * limit)
    _limits(roof, (1, 100), limit, memory, f"a large matrix product: {limit:.0f}", "TB/s")
    drawn = dict(zip(sizes(table), itertools.cycle(SIZES), strict=False))
    for (fused, streams), (colour, marker) in drawn.items():
        mine = (speed["fused"] == fused) & (speed["streams"] == streams)
        said = f"{fused} × {streams}"
        roof.plot(speed["flops_per_byte"][mine], tera[mine], marker, color=colour, label=said)
    roof.legend(
        title="networks × streams",
        title_fontsize=8,
        fontsize=8,
        loc="lower right",
        handletextpad=0.2,
    )
    _times(times, table, drawn)
    best = tera.groupby(speed["work"]).max()
    return speed, (
        f"On the GPU it is {span(best, 'TFLOP/s')} of the {limit:.0f} that a large product reaches."
    )


def _times(ax, table, drawn):
    """µs of a run-step by work, the first on top: on one core; on the GPU alone and with others."""
    order = list(reversed(works(table)))
    on_gpu = rows_at(table, quantity="us_per_run_step")
    core = rows_at(table, quantity="ms_per_run_step", way="engine")

    def points(rows, colour, marker):
        medians = rows.groupby("work")["value"].median()
        ax.plot(medians, list(map(order.index, medians.index)), marker, color=colour)
        return medians

    for (fused, streams), look in drawn.items():
        points(rows_at(on_gpu, way=MANY, fused=fused, streams=streams), *look)
    times = points(core.assign(value=1000 * core["value"]), *BESIDE["one core"])
    at = (0.8 * times[order[0]], 0)
    style.name(ax, "one core", at, *BESIDE["one core"], right=True)
    for way, above in {"one network, eager": True, "one network, a graph": False}.items():
        for work, time in points(rows_at(on_gpu, way=way), *BESIDE[way]).items():
            ax.text(time, order.index(work) + (0.16 if above else -0.16), way, ha="center",
                    va="bottom" if above else "top", fontsize=8)  # fmt: skip
    ax.set_title("Time of a step of one network (µs)")
    style.log_axis(ax, "x", 1, 10_000, [1, 10, 100, 1000, 10_000])
    ax.grid(axis="x")
    ax.set_yticks(range(len(order)), labels=order)
    ax.set_ylim(-0.5, len(order) - 0.4)


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
                ax.text(left + width / 2, y, f"{width:.0f}", ha="center", va="center",
                        color=style.text_on(colour))  # fmt: skip
            if y == len(order) - 1:
                turn = 30 if width < 12 else 0
                ax.text(left + width / 2, y + 0.42, part, ha="center", va="bottom", rotation=turn,
                        fontsize=8)  # fmt: skip
            left += width
    ax.set_yticks(range(len(order)), labels=list(reversed(order)))
    ax.set_xlim(0, 100)
    ax.set_ylim(-0.5, len(order) - 0.1)


# ---- Table --------------------------------------------------------------------------------------


def bench_table(table: pd.DataFrame, ledger: dict) -> Table:
    """A row for each work: a step's time, the ways' speeds, how good the engine is, and the GPU."""
    shares = table["quantity"].isin(["gemm_efficiency", "probe_share"])
    table = table.assign(value=table["value"] * shares.map({True: 100, False: 1}))
    timed = sizes(table)
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
            *_gpu_cells(rows_at(mine, way=MANY), timed),
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
    if timed:
        groups += [("GPU, µs", len(timed)), ("GPU, one core = 1", 1)]
        columns += [Column(f"{fused} × {streams}", "measured", "GPU") for fused, streams in timed]
        columns.append(Column("fastest", "measured", "over one core"))
    sets = ", ".join(sorted(set(table["instruction_set"])))
    start = rows_at(table, quantity="start_seconds")["value"].median()
    shows = (
        f"Measured with {sets}. {RUNS_A_SEED} fused runs each are of one seed and share its "
        "images, as the grid has them on average. A new training process is ready after "
        f"{number(start, 1)} s. {_gpu_said(table)}"
    )
    ratios = [row.cells[len(COMPARED)].value for row in rows]
    textbook = [row.cells[len(COMPARED) + 1].value for row in rows]
    finding = (
        f"The engine's fused step is {span(ratios)} times as fast as networks one by one and "
        f"{span(textbook)} times as fast as a textbook's loop."
    )
    made = with_digits(
        ["Work", "Runs fused"], groups, columns, [Body("", rows)], shows=shows, finding=finding
    )
    return replace(made, over="turn")


def _gpu_cells(rows, timed):
    """The GPU's times of a work, by size, and how many times as fast as one core the best is."""
    times, ratios = (
        [measured_cell(rows, quantity=q, fused=fused, streams=streams) for fused, streams in timed]
        for q in ("us_per_run_step", "ratio_to_core")
    )
    return times + [max(ratios, key=lambda cell: cell.value)] if timed else []


def _gpu_said(table):
    """Which card it is and what it can do, or that there is none."""
    if not sizes(table):
        return f"There is {NO_GPU}."
    copy, product = (
        rows_at(table, quantity=quantity)["value"].median()
        for quantity in ("gpu_copy_gb_per_second", "gpu_product_gflops")
    )
    card = table["card"].dropna().iloc[0]
    return (
        f"The GPU is one {card}, whose memory copies {number(copy, 0)} GB/s, read and written "
        f"together, and which multiplies large matrices at {number(product / 1000, 1)} TFLOP/s."
    )


# ---- Summary ------------------------------------------------------------------------------------


def summary(table: pd.DataFrame) -> dict:
    """What results/bench/engine.json holds: {"works": {work: ...}, "gpu", and medians of the rest}.

    Under "spread", "gpu", and outside of the works, a number is {"median", "low", "high"} over the
    repetitions; "R" is the number of networks that train together. "gpu" says so if there is none.
    """
    found = {}
    for work in works(table):
        rows = rows_at(table, work=work)
        engine = rows_at(rows, way="engine")
        whole = engine[engine["part"].isna()].groupby("quantity")
        spreads = {quantity: _spread(of) for quantity, of in whole}
        ways = rows_at(rows, quantity="ratio_to_one_by_one").groupby("way", sort=False)
        parts = rows_at(engine, quantity="share_of_step").groupby("part", sort=False)
        found[work] = {quantity: of["median"] for quantity, of in spreads.items()} | {
            "R": int(engine["fused"].iloc[0]),
            "instruction_set": engine["instruction_set"].iloc[0],
            "spread": spreads,
            "ways": {way: _spread(of)["median"] for way, of in ways},
            "shares": {part: _spread(of)["median"] for part, of in parts},
        }
    rest = table[table["work"].isna() & table["card"].isna()].groupby("quantity")
    return (
        {"works": found}
        | {quantity: _spread(of) for quantity, of in rest}
        | {"gpu": _gpu_summary(table) if sizes(table) else NO_GPU}
    )


def _gpu_summary(table):
    """The card, its limits, a step by work, way, networks R and streams, and C172's differences."""
    table = table[table["card"].notna()]
    steps = table[table["quantity"].isin(["us_per_run_step", "ratio_to_core", "gflops"])]
    rows = []
    for (work, way, fused, streams), of in steps.groupby(
        ["work", "way", "fused", "streams"], sort=False
    ):
        row = {"work": work, "way": way, "R": int(fused), "streams": int(streams)}
        rows.append(row | {quantity: _spread(q) for quantity, q in of.groupby("quantity")})
    limits = table[table["work"].isna()].groupby("quantity")
    differences = rows_at(table, quantity="gpu_minus_cpu").groupby("way", sort=False)
    return (
        {"card": table["card"].iloc[0]}
        | {quantity: _spread(of) for quantity, of in limits}
        | {"gpu_minus_cpu": {way: _spread(of) for way, of in differences}, "steps": rows}
    )


def _spread(rows):
    values = rows["value"].tolist()
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
