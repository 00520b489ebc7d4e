"""The tidy tables of the grid: one row per run; per run and epoch; per run, moment and layer."""

import pyarrow as pa
import pyarrow.compute

from finicky.runs import later

# column: (type, what it is); the data dictionary is written from these.
RUNS = {
    "run": (pa.string(), "identity of the run: SHA-256 of all that its result depends on"),
    "subgrids": (pa.string(), "names of the config's sub-grids that contain the run, by commas"),
    "purposes": (pa.string(), "what these sub-grids are for, by commas"),
    "dataset": (pa.string(), "mnist, fashion_mnist, or one that the config declares"),
    "images": (pa.int64(), "training images: the first of one fixed permutation"),
    "epochs": (pa.int64(), "epochs trained"),
    "depth": (pa.int64(), "layers with weights: 2 + 2 × blocks"),
    "block": (pa.string(), "plain, batch_norm, residual or batch_norm_residual"),
    "activation": (pa.string(), "activation of the hidden layers"),
    "init": (pa.string(), "initialiser of the weights"),
    "optimizer": (pa.string(), "update rule"),
    "learning_rate": (pa.float64(), "its rate"),
    "batch_size": (pa.int64(), "images a step"),
    "width": (pa.int64(), "units of a hidden layer"),
    "seed": (pa.int64(), "seed of weights and order"),
    "device": (pa.string(), "cpu or cuda"),
    "weight_decay": (pa.float64(), "λ: the optimizer's own (0.01 of AdamW, else 0), or the level"),
    "schedule": (pa.string(), "how the learning rate goes from step to step"),
    "label_noise": (pa.float64(), "share of the training labels that are another class"),
    "classes": (pa.int64(), "of the data set; a guess has an accuracy of 100/classes %"),
    "outcome": (pa.string(), "worst batch loss: finite, large (over 1000 × the first), inf or nan"),
    "large_step": (pa.int64(), "first step with a large loss, from 1; null: never"),
    "inf_step": (pa.int64(), "first step with an infinite loss"),
    "nan_step": (pa.int64(), "first step whose loss is NaN; the run ends there"),
    "start_loss": (pa.float64(), "loss of the first batch, nats"),
    "seconds": (pa.float64(), "training time, its share of the batches trained together"),
    "fused": (pa.int64(), "runs trained together"),
    "host": (pa.string(), "machine it ran on"),
    "cpu": (pa.string(), "processor"),
    "gpu": (pa.string(), "graphics card, if it trained on one"),
    "instruction_set": (pa.string(), "instruction set PyTorch used"),
    "finished": (pa.string(), "when it was finished, UTC"),
}
CURVES = {
    "run": RUNS["run"],
    "epoch": (pa.int64(), "from 1"),
    "running_loss": (pa.float64(), "mean of the batch losses during the epoch, nats"),
    "running_accuracy": (pa.float64(), "accuracy on the batches during the epoch, %"),
    "train_loss": (pa.float64(), "on the training images after the last epoch, nats; null: before"),
    "train_accuracy": (pa.float64(), "likewise, %; with label noise, of the labels as they are"),
    "validation_loss": (
        pa.float64(),
        "likewise on the held-out ones (of MNIST 5,000), nats; null: trained on",
    ),
    "validation_accuracy": (pa.float64(), "likewise, %"),
    "test_loss": (pa.float64(), "on the test images, end of epoch, evaluation mode, nats"),
    "test_accuracy": (pa.float64(), "likewise, %; null: the run had ended"),
}
LAYERS = {
    "run": RUNS["run"],
    "epoch": (pa.int64(), "end of this epoch; 0: before training"),
    "layer": (pa.int64(), "from 1 to the depth"),
    "activation_mean": (pa.float64(), "over units and probe images; last layer: of the logits"),
    "activation_variance": (pa.float64(), "likewise"),
    "gradient_norm": (pa.float64(), "Euclidean norm of the loss's gradient by the layer's weights"),
    "dead_share": (pa.float64(), "units whose derivative is flat for every probe image"),
    "saturated_share": (pa.float64(), "unit-image pairs whose derivative is flat"),
}
TABLES = {"runs": RUNS, "curves": CURVES, "layers": LAYERS}


def schema(columns, leave_out=()):
    """Arrow schema of a table's columns."""
    return pa.schema([(name, kind) for name, (kind, _) in columns.items() if name not in leave_out])


# A shard's file: one row per run, with its curves and layers nested, as the runs were stored.
SHARD = schema(RUNS, ["subgrids", "purposes"])
for _name in ("curves", "layers"):
    _fields = schema(TABLES[_name], ["run"])
    SHARD = SHARD.append(pa.field(_name, pa.list_(pa.struct(list(_fields)))))


def shard_table(records):
    """One shard's Arrow table from {run id: stored record}.

    A record of before an axis came has the level that all runs had then.
    """
    rows = [{"run": run} | later(one["optimizer"]) | one for run, one in records.items()]
    return pa.Table.from_pylist(rows, SHARD)


def gather(shards, subgrids, purposes):
    """The tidy tables of a preset: {"runs", "curves", "layers": Arrow table}.

    shards: Arrow tables of shard_table; subgrids, purposes: {run id: names of its sub-grids, and
    what they are for}. Rows are sorted by run, so that the tables do not depend on how the runs
    were sharded.
    """
    whole = pa.concat_tables(shards).sort_by("run")
    runs = whole.drop_columns(["curves", "layers"])
    for place, (column, names) in enumerate({"subgrids": subgrids, "purposes": purposes}.items()):
        joined = [",".join(sorted(names[run])) for run in whole["run"].to_pylist()]
        runs = runs.add_column(1 + place, column, pa.array(joined, pa.string()))
    return {"runs": runs} | {name: unnested(whole, name) for name in ("curves", "layers")}


def unnested(whole, name):
    """A nested column as a table of its own, each row with its run."""
    column = whole[name].combine_chunks()
    run = whole["run"].combine_chunks().take(pa.compute.list_parent_indices(column))
    fields = column.flatten()
    arrays = dict(zip(fields.type.names, fields.flatten(), strict=True))
    return pa.table({"run": run, **arrays}, schema=schema(TABLES[name]))


def dictionary():
    """The data dictionary as Markdown."""
    lines = ["# Tables", "", "Accuracies are in percent, losses in nats."]
    about = {"runs": "one row per run", "curves": "one row per run and epoch",
             "layers": "one row per run, moment and layer"}  # fmt: skip
    for name, columns in TABLES.items():
        lines += [
            "",
            f"## {name}: {about[name]}",
            "",
            "| column | type | meaning |",
            "|---|---|---|",
        ]
        lines += [f"| {column} | {kind} | {what} |" for column, (kind, what) in columns.items()]
    return "\n".join(lines) + "\n"
