"""The chapter's tables, refilled: its printed numbers beside ours.

Each maker reads one experiment's tidy table (one number a seed) and the ledger, and returns a
`Table` that the template prints; nothing here knows HTML. A table of questions and answers is
refilled with verdicts (`answers`).
"""

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from statistics import median

from finicky.evidence.intervals import median_interval
from finicky.evidence.rules import NOT_MEASURED, VERDICTS
from finicky.numbers import decimals, number, printed_decimals
from finicky.page.figures import in_order, look

OPTIMIZERS = ["sgd", "momentum", "rmsprop", "adam", "adamw"]
BLOCKS = ["plain", "batch_norm", "residual", "batch_norm_residual"]


@dataclass(frozen=True)
class Cell:
    """One entry: the chapter's number or word, our median with its interval over n seeds (or a
    share with its standard `error`), or the ids of claims."""

    value: float | None = None
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    note: str = ""
    text: str = ""
    error: float = math.nan
    claims: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column; `kind` is `chapter`, `measured` or `verdict` (its label), `places` its digits.

    Measured columns of one `quantity` have the same number of digits.
    """

    label: str
    kind: str
    quantity: str = "accuracy"
    places: int = 1


@dataclass(frozen=True)
class Row:
    """One line: its heads (as many as the table has) and its cells (one a column)."""

    heads: list[str]
    cells: list[Cell]


@dataclass(frozen=True)
class Body:
    """Rows that belong together, under a label that may be empty."""

    label: str
    rows: list[Row]


@dataclass(frozen=True)
class Table:
    """A table ready to print: heads of the label columns, column groups (label, span), bodies.

    `shows` says what its cells are, if not medians with their intervals.
    """

    heads: list[str]
    groups: list[tuple[str, int]]
    columns: list[Column]
    bodies: list[Body]
    notes: list[str] = field(default_factory=list)
    shows: str = ""

    @property
    def seeds(self):
        """The different numbers of seeds behind the measured cells, ascending."""
        cells = (cell for body in self.bodies for row in body.rows for cell in row.cells)
        return sorted({cell.n for cell in cells if cell.n})


def refill(ledger, experiments, verdicts):
    """The tables that can be refilled now: {table id: Table}.

    `experiments` is {slug: DataFrame}, `verdicts` {claim id: verdict}. A table whose experiment is
    missing, or holds none of the numbers it needs, is left out: the page shows the gap.
    """
    made = {}
    for table, entry in ledger["tables"].items():
        behind = {claim for row in entry.get("rows", []) for claim in row["claims"]}
        if any(verdicts.get(claim, NOT_MEASURED) != NOT_MEASURED for claim in behind):
            made[table] = answers(entry["rows"], verdicts)
    for table, (slug, make) in MAKERS.items():
        if table in ledger["tables"] and slug in experiments:
            filled = make(ledger, experiments[slug])
            if filled and filled.seeds:
                made[table] = filled
    return made


def level_name(level):
    """A level as people write it: a name as in the figures, a number with its thousands apart."""
    if isinstance(level, str):
        return look(level).label
    if isinstance(level, bool):
        return "yes" if level else "no"
    return f"{level:,.10g}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def answers(rows, verdicts):
    """Questions with the chapter's answers (the ledger's `rows`), and the claims behind each
    answer by verdict ({claim id: verdict}; without one, not measured). One maker for every table
    of that kind (T01)."""
    found = {claim: verdicts.get(claim, NOT_MEASURED) for row in rows for claim in row["claims"]}
    shown = [verdict for verdict in VERDICTS if verdict in found.values()]
    lines = [
        Row(
            [row["question"], row["answer"]],
            [
                Cell(claims=tuple(claim for claim in row["claims"] if found[claim] == verdict))
                for verdict in shown
            ],
        )
        for row in rows
    ]
    return Table(
        ["Question", "The chapter’s answer"],
        [("Claims behind the answer, by verdict", len(shown))],
        [Column(verdict, "verdict") for verdict in shown],
        [Body("", lines)],
        shows="Each answer with the claims behind it, by their verdicts.",
    )


def ten_layers(ledger, table):
    """T03: test accuracy after epochs 1 and 10 by initialisation, for each optimizer."""
    accuracy = table[table["quantity"] == "test_accuracy"]
    printed = _printed(ledger, {"C062", "C063", "C066", "C067"}, "test_accuracy", "init", "epoch")
    if any(claim["id"] == "C065" for claim in ledger["claims"]):
        printed |= {("normal_std_1", epoch): Cell(text="NaN") for epoch in (1, 10)}
    starts = ["he", "xavier", "normal_std_1", "normal_std_0.001", "zeros"]
    arms = _arms(accuracy)
    groups, columns = [], []
    for epoch in (1, 10):
        plural = "s" if epoch > 1 else ""
        groups.append((f"Test accuracy after {epoch} epoch{plural}, %", 1 + len(arms)))
        columns += [Column("chapter", "chapter"), *_arm_columns(arms)]
    rows = []
    for init in starts:
        cells = []
        for epoch in (1, 10):
            cells.append(printed.get((init, epoch), Cell()))
            cells += [
                _measured(accuracy, init=init, epoch=epoch, optimizer=optimizer, learning_rate=rate)
                for optimizer, rate in arms
            ]
        rows.append(Row([level_name(init)], cells))
    return _table(["Initialisation"], groups, columns, [Body("", rows)])


def degradation(ledger, table):
    """T07: training and test error by depth and block, beside the numbers of claim C098.

    Measured on fully connected networks: He, ReLU, MNIST, every training length that holds both
    a plain network of 20 layers and one of 56.
    """
    start = table[
        (table["init"] == "he") & (table["activation"] == "relu") & (table["dataset"] == "mnist")
    ]
    error = start[start["quantity"].isin(["train_accuracy", "test_accuracy"])].assign(
        value=lambda frame: 100 - frame["value"]
    )
    lengths = [
        length
        for length, group in error.groupby(["images", "epochs"], sort=True)
        if {20, 56} <= set(group.loc[group["block"] == "plain", "depth"])
    ][::-1]
    if not lengths:
        return None
    printed = _chapter_errors(ledger)
    deep = error[error["depth"] >= 20]
    arms = [
        arm
        for arm in _arms(deep)
        if {20, 56} <= set(_where(deep, optimizer=arm[0], learning_rate=arm[1])["depth"])
    ]
    groups = [("Chapter, error in %", 2)] + [(f"{_arm_name(arm)}, error in %", 2) for arm in arms]
    columns = [
        Column(part, kind)
        for kind in ["chapter"] + ["measured"] * len(arms)
        for part in ("training", "test")
    ]
    bodies = []
    for images, epochs in lengths:
        trained = _where(deep, images=images, epochs=epochs)
        rows = []
        for block in BLOCKS:
            for depth in sorted(set(trained.loc[trained["block"] == block, "depth"])):
                literature = printed.get(depth) if block == "plain" and not bodies else None
                cells = list(literature or (Cell(), Cell()))
                for optimizer, rate in arms:
                    cells += [
                        _measured(
                            trained,
                            block=block,
                            depth=depth,
                            optimizer=optimizer,
                            learning_rate=rate,
                            quantity=quantity,
                        )
                        for quantity in ("train_accuracy", "test_accuracy")
                    ]
                rows.append(Row([level_name(block), level_name(int(depth))], cells))
        bodies.append(Body(f"{level_name(int(images))} images, {int(epochs)} epochs", rows))
    notes = [
        "The chapter's numbers are literature: it ascribes them to He et al. (2015), who trained "
        "convolutional networks. Ours are fully connected networks of width 128; convolutions "
        "were not measured."
    ]
    return _table(["Block", "Depth"], groups, columns, bodies, notes)


def mini_project(ledger, table):
    """T13: every number that the chapter's log prints, beside ours, epoch by epoch."""
    metrics = {
        "running_loss": "Training loss, nats",
        "running_accuracy": "Training accuracy, %",
        "test_loss": "Test loss, nats",
        "test_accuracy": "Test accuracy, %",
    }
    printed = {}
    for metric in metrics:
        numbers = _printed(ledger, {"C180", "C182", "C184"}, metric, "recipe", "epoch")
        printed |= {(*key, metric): cell for key, cell in numbers.items()}
    if any(claim["id"] == "C183" for claim in ledger["claims"]):
        printed["rate_10", 1, "running_loss"] = Cell(text="NaN")
    recipes = {
        "correct": "He, ReLU, Adam 0.001",
        "zeros": "Zero weights",
        "rate_10": "SGD at rate 10",
        "sigmoid": "Xavier, sigmoid",
    }
    bodies = []
    for recipe, label in recipes.items():
        epochs = sorted({key[1] for key in printed if key[0] == recipe})
        rows = []
        for epoch in epochs:
            cells = []
            for metric in metrics:
                cells.append(printed.get((recipe, epoch, metric), Cell()))
                cell = _measured(table, quantity=metric, recipe=recipe, epoch=epoch)
                # How the run ended is said once a line, beside the loss that shows it.
                cells.append(cell if metric == "running_loss" else replace(cell, note=""))
            rows.append(Row([f"epoch {epoch}"], cells))
        if rows:
            bodies.append(Body(label, rows))
    groups = [(label, 2) for label in metrics.values()]
    columns = [Column(kind, kind, metric) for metric in metrics for kind in ("chapter", "measured")]
    return _table(["Recipe"], groups, columns, bodies)


def update_rules(ledger, table):
    """T12: every printed update rule against torch.optim, step by step, by gradients' size."""
    rules = {"table_deviation": "The table's rule", "text_deviation": "The text's rule"}
    optimizers = {
        "descent": "Gradient descent",
        "momentum": "Momentum",
        "rmsprop": "RMSProp",
        "adam": "Adam",
        "adamw": "AdamW",
    }
    gradients = ["ordinary", "tiny", "zero"]
    rows = []
    for optimizer, label in optimizers.items():
        cells = []
        for rule in rules:
            for size in gradients:
                found = _where(table, quantity=rule, optimizer=optimizer, gradients=size)["value"]
                worst = max(found, default=math.nan)
                text = {math.inf: "0/0", 0.0: "0"}.get(worst) or number(worst, 4)
                cells.append(Cell(n=len(found), text=text))
        rows.append(Row([label], cells))
    groups = [(label, len(gradients)) for label in rules.values()]
    columns = [
        Column(f"{size} gradients", "measured", rule) for rule in rules for size in gradients
    ]
    notes = [
        "Zero: a weight whose gradient is always 0. The table leaves out eps: there it divides 0 "
        "by 0, and tiny gradients make full steps. RMSProp's text has eps inside the root, PyTorch "
        "outside."
    ]
    shows = (
        "Largest deviation of the parameters from torch.optim's in double precision, relative to "
        "their start, over all seeds."
    )
    return replace(_table(["Rule"], groups, columns, [Body("", rows)], notes), shows=shows)


def calibration(table):
    """The verdict rules on simulated seeds: how often they decide wrongly, and how often not.

    The worst over shapes of the seeds' numbers, over what the conditions share, and over both
    sides; of claims of several conditions or parts over all rules as well.
    """
    sizes = sorted(set(table["seeds"]))
    wrong, on = table["quantity"] != "undecided", table["distance"] == "on"
    clear = (table["distance"] == "clear") & (table["metric"] == "normal")
    parts = {
        "Wrong on the limit, %": table[wrong & on],
        "Wrong elsewhere, %": table[wrong & ~on],
        "Undecided where clear, %": table[~wrong & clear],
    }

    def row(head, **levels):
        cells = [_worst(_where(part, seeds=n, **levels)) for part in parts.values() for n in sizes]
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
        shows="Verdicts on simulated seeds whose truth is known, in % of the claims, ± the "
        "standard error of the simulation: the worst of four shapes of the seeds’ numbers and of "
        "both sides. All rules see the same seeds. Clear is what the seeds should decide in nine "
        "of ten cases if their numbers are normal.",
    )


def _worst(rows):
    """The row with the largest value, and its error; empty if there is none."""
    if rows.empty:
        return Cell()
    worst = rows.loc[rows["value"].idxmax()]
    return Cell(worst["value"], n=int(worst["seeds"]), error=worst["error"])


def choosing(ledger, table):
    """T11: each optimizer at the chapter's learning rate and at the best one found, and how many
    decades of rates work."""
    chapter = {"momentum": 0.1, "adam": 0.001, "adamw": 0.0001, "rmsprop": 0.001}
    bodies = []
    for dataset in in_order(table["dataset"].dropna()):
        of = _where(table, dataset=dataset)
        rows = []
        for optimizer in ["sgd", *chapter]:
            rate = chapter.get(optimizer)
            found = _where(of, quantity="tuned_rate", optimizer=optimizer)["value"]
            ends = [f"{end:g}" for end in (found.min(), found.max())] if len(found) else [""]
            cells = [
                Cell(text="" if rate is None else f"{rate:g}"),
                _measured(of, quantity="recommended_accuracy", optimizer=optimizer),
                Cell(n=len(found), text=" to ".join(dict.fromkeys(ends))),
                _measured(of, quantity="tuned_accuracy", optimizer=optimizer),
            ]
            cells += [
                _measured(
                    of,
                    quantity="decades",
                    optimizer=optimizer,
                    problem="constant",
                    tolerance=tolerance,
                )
                for tolerance in (1, 5)
            ]
            rows.append(Row([level_name(optimizer)], cells))
        bodies.append(Body(level_name(dataset), rows))
    groups = [("Chapter's rate", 2), ("Best rate found", 2), ("Decades of rates that work", 2)]
    columns = [
        Column("rate", "chapter", "rate"),
        Column("test accuracy, %", "measured"),
        Column("rate", "measured", "rate"),
        Column("test accuracy, %", "measured"),
        Column("within 1 point", "measured", "decades"),
        Column("within 5 points", "measured", "decades"),
    ]
    notes = [
        "The best rate is chosen for each seed by the other seeds' validation images; a rate works "
        "if its test accuracy is within 1 or 5 points of the optimizer's own best. The chapter "
        "gives no rate for SGD without momentum."
    ]
    return _table(["Optimizer"], groups, columns, bodies, notes)


def batch_sizes(ledger, table):
    """T10: noise, time, memory, sharpness and gap by batch size, beside the chapter's words."""
    quantities = {  # quantity: the measured column, what the chapter says of small and full batches
        "gradient_noise": ("gradient noise, %", "noisy", "exact"),
        "time_to_loss": ("time to the loss, ms", "fast", "slow"),
        "epochs_to_loss": ("epochs to the loss", "", ""),
        "memory": ("memory, KiB", "", "memory intensive"),
        "tuned_sharpness": ("sharpness", "flat minimum", "sharp minimum"),
        "tuned_gap": ("test minus training error, pp", "", ""),
    }
    sizes = sorted(set(table["batch_size"].dropna()))
    rows = []
    for side, label in ((1, "mini-batch"), (2, "full batch")):
        cells = [Cell(text=words[side]) for words in quantities.values()]
        rows.append(Row([label, "chapter"], cells))
    for size in sizes:
        name = level_name(int(size)) + (" (full)" if size == sizes[-1] else "")
        cells = {q: _measured(table, quantity=q, batch_size=size) for q in quantities}
        cells["memory"] = replace(cells["memory"], low=math.nan, high=math.nan)
        rows.append(Row([name, "measured"], list(cells.values())))
    columns = [Column(words[0], "measured", name) for name, words in quantities.items()]
    notes = [
        "All runs end at the same training loss. Time and epochs at the rate that gets there in "
        "the fewest steps, sharpness (largest eigenvalue of the Hessian) and error at the rate "
        "with the best validation accuracy, both chosen by the other seeds. Memory: what a batch "
        "adds to the network."
    ]
    return _table(["Batch", ""], [("", len(columns))], columns, [Body("", rows)], notes)


MAKERS = {
    "T03": ("ten-layers", ten_layers),
    "T07": ("grid", degradation),
    "T10": ("batch-size", batch_sizes),
    "T11": ("learning-rate", choosing),
    "T12": ("trajectories", update_rules),
    "T13": ("mini-project", mini_project),
}


def _printed(ledger, claims, quantity, *keys):
    """The chapter's numbers among these claims' parts: {(level of each key): Cell}."""
    numbers = {}
    for claim in ledger["claims"]:
        for part in claim.get("parts", []) if claim["id"] in claims else []:
            where = part.get("where", {})
            given = part["quantity"] == quantity and part.get("number") is not None
            if given and all(key in where for key in keys):
                numbers[tuple(where[key] for key in keys)] = Cell(value=part["number"])
    return numbers


def _chapter_errors(ledger):
    """Depth to (training, test) error in %, from C098: `15, 18, 25, 28`."""
    for claim in ledger["claims"]:
        if claim["id"] == "C098" and claim.get("number"):
            numbers = [Cell(value=float(text)) for text in str(claim["number"]).split(",")]
            if len(numbers) == 4:
                return {20: numbers[:2], 56: numbers[2:]}
    return {}


def _arms(table):
    """The optimizers with their learning rates that occur, in a fixed order."""
    pairs = set(zip(table["optimizer"], table["learning_rate"], strict=True))
    return sorted(pairs, key=lambda pair: (OPTIMIZERS.index(pair[0]), pair[1]))


def _arm_name(arm):
    optimizer, rate = arm
    return f"{level_name(optimizer)} {rate:g}"


def _arm_columns(arms):
    return [Column(_arm_name(arm), "measured") for arm in arms]


def _where(table, **levels):
    for column, level in levels.items():
        table = table[table[column] == level]
    return table


def _measured(table, **levels):
    """Median, interval and failures over the seeds of one condition; empty if there are none."""
    rows = _where(table, **levels)
    if rows.empty:
        return Cell()
    failures = Counter(rows["outcome"])
    words = {"nan": "NaN", "inf": "infinite", "large": "large"}
    note = ", ".join(
        f"{word} in {failures[outcome]} of {len(rows)}"
        for outcome, word in words.items()
        if failures[outcome]
    )
    if rows["value"].isna().any():
        return Cell(n=len(rows), note=note, text="NaN")
    values = sorted(float(value) for value in rows["value"])
    low, high = median_interval(values)
    return Cell(median(values), low, high, len(values), note)


def _table(heads, groups, columns, bodies, notes=()):
    """Fix the digits of each column, so that its numbers align on the point."""
    cells = {
        index: [row.cells[index] for body in bodies for row in body.rows]
        for index in range(len(columns))
    }
    widths = {}
    for index, column in enumerate(columns):
        spans = [cell.high - cell.low for cell in cells[index] if cell.n]
        widths.setdefault(column.quantity, []).extend(span for span in spans if span > 0)
    settled = []
    for index, column in enumerate(columns):
        if column.kind == "chapter":
            places = max((printed_decimals(cell.value) for cell in cells[index]), default=0)
        else:
            known = widths[column.quantity]
            places = max(1, decimals(median(known) if known else None))
        settled.append(replace(column, places=places))
    return Table(heads, groups, settled, bodies, list(notes))
