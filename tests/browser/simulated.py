"""The page of `full`, whose 22,000 runs take hours, from runs that look like trained ones.

Only what a page costs can be read off it: every run of the plan has the numbers of some run of the
reference with the same depth, stirred a little so that they pack as badly as real ones.
"""

import numpy as np
import pandas as pd

from finicky import config, runs
from finicky.page import explorer

from . import report


def inputs(folder, preset="config/full.yaml"):
    """The arguments of `build.render` for a preset that nobody has to train.

    folder: where to draw the figures. Claims, figures and refilled tables are the reference's.
    """
    found, settings = report.inputs(folder), config.load(preset)
    tables = simulated(runs.plan(settings | {"device": "cpu"}).subgrids, report.reference_grid())
    return found | {"grid": explorer.view([tables], settings)}


def simulated(planned, known):
    """Tables with the columns of explorer.COLUMNS for planned runs, from those of known ones."""
    random = np.random.default_rng(0)
    made = pd.DataFrame(
        [{"run": run.id} | vars(run) | runs.later(run.optimizer) for run in planned]
    )
    last = known["curves"].groupby("run")["epoch"].max().rename("last")
    models = known["runs"].join(last, on="run")
    chosen = []
    for depth, own in made.groupby("depth"):
        nearest = min(models["depth"].unique(), key=lambda one: abs(one - depth))
        of_depth = models[models["depth"] == nearest]
        chosen.append(
            of_depth.iloc[random.integers(len(of_depth), size=len(own))].set_index(own.index)
        )
    model = pd.concat(chosen).sort_index()
    made["model"], made["last"] = model["run"], model["last"]
    for column in ("outcome", "inf_step", "nan_step"):
        made[column] = model[column]

    epochs = made.loc[made.index.repeat(made["epochs"]), ["run", "model", "epochs", "last"]]
    epochs["epoch"] = epochs.groupby("run").cumcount() + 1
    epochs["of_model"] = -(-epochs["epoch"] * epochs["last"] // epochs["epochs"])
    curves = known["curves"].rename(columns={"run": "model", "epoch": "of_model"})
    layers = known["layers"].rename(columns={"run": "model"})
    tables = {
        "runs": made,
        "curves": epochs.merge(curves, on=["model", "of_model"]),
        "layers": made[["run", "model"]].merge(layers, on="model"),
    }
    return {name: _stirred(tables[name][explorer.COLUMNS[name]], random) for name in tables}


def _stirred(table, random):
    """The table with its measured numbers changed by a thousandth or so; losses may be infinite."""
    for column in table.columns.intersection(
        ["running_loss", "test_loss", "test_accuracy", "activation_variance", "gradient_norm"]
    ):
        table[column] = table[column] * (1 + 1e-3 * random.standard_normal(len(table)))
    return table
