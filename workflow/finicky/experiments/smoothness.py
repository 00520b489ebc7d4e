"""Does batch norm smooth the loss, and does it admit larger learning rates?

As Santurkar et al. (2018, section 3.1) did: every few steps of a training one goes along the
gradient of the batch, half to four times as far as the step of the rate in use, and looks at the
loss of the batch and its gradient there. The range of rates is that of a ladder.
"""

import itertools

import numpy as np
import pandas as pd
import torch

from finicky.data import CHANCE
from finicky.engine import train as engine
from finicky.engine.network import cross_entropy, mean_loss
from finicky.experiments import best_rates, tidy, training
from finicky.experiments.learning_rate import working_range

TITLE = "Smoothness along the step, and the largest rate, with and without batch norm"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "images": ("images", "training images"),
    "epochs": ("epochs", "passes over them"),
    "width": ("width", "units of a hidden layer"),
    "depth": ("depths", "layers of the networks; smoothness is looked at in all of them, other "
              "optimizers than SGD get the smallest"),
    "every": ("steps", "steps between two looks along the gradient"),
    "rates": ("rates", "learning rates of SGD at which is looked along the gradient"),
    "ladders": ("rates_by_optimizer", "learning rates among which the largest that works is "
                "sought; SGD's contain `rates`"),
}  # fmt: skip
BUDGET = "{images} images of {dataset}, {epochs} epochs"
QUANTITIES = {
    "loss_range": ("nats", "largest minus smallest loss of the batch from a half to four steps "
                   "along its gradient, median over the looks"),
    "gradient_change": ("", "largest distance of the gradient there from that at the start of the "
                        "step, median over the looks"),
    "cosine": ("", "cosine between them, mean along the step, median over the looks"),
    "prediction_error": ("", "difference between the change of the loss and what the gradient "
                         "predicts, over the latter, mean along the step, median over the looks"),
    "loss_range_gain": ("doublings", "log2 of the loss range without batch norm over that with it; "
                        "this and the next four where both networks learn: median test accuracy "
                        "of 20 % and more"),
    "gradient_change_gain": ("doublings", "log2 of the gradient's change without batch norm over "
                             "that with it"),
    "lipschitz_gain": ("doublings", "the same for that change over the distance gone, largest "
                       "along the step"),
    "cosine_gain": ("", "cosine with batch norm minus that without"),
    "prediction_gain": ("doublings", "log2 of the prediction's error without batch norm over that "
                        "with it"),
    "accuracy": ("%", "test accuracy after the training, by rate"),
    "largest_rate": ("", "log10 of the largest rate that reaches a test accuracy, interpolated "
                     "between the rates; the ladder's lowest where none does"),
    "largest_rate_gain": ("decades", "largest rate with batch norm minus without; left out where "
                          "no rate reaches the accuracy in either"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "images": "integer",
    "epochs": "integer",
    "activation": "level",
    "depth": "integer",
    "block": "level",
    "optimizer": "level",
    "tuning": ["one rate for all", "own best rate"],
    "learning_rate": "number",
    "reached": "integer",
}
LIMITS = {
    "rates in ladders.sgd": "some of the ladder",
    "images % 64 != 1": "no batch of one image",
}


ACTIVATIONS = ["relu", "tanh"]
BLOCKS = ["plain", "batch_norm"]
MULTIPLES = [
    0.5,
    1.0,
    2.0,
    4.0,
]  # of the step, along the gradient (Santurkar et al. 2018, figure 4)
REACHED = [50, 80]  # test accuracies in % that a rate has to reach
LEARNS = 2 * CHANCE
HELD_OUT = 2000  # images of each split on which accuracies are taken
LOOKS = ["loss_range", "gradient_change", "lipschitz", "cosine", "prediction_error"]
ONE, OWN = CONDITIONS["tuning"]


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    parts = []
    for name in settings["datasets"]:
        dataset = training.prepared(name, settings, settings["images"])
        for optimizer, rates in settings["ladders"].items():
            depths = settings["depth"] if optimizer == "sgd" else [min(settings["depth"])]
            for depth, activation in itertools.product(depths, ACTIVATIONS):
                shape = {"dataset": name, "depth": depth, "activation": activation}
                ends = trained(dataset, settings, optimizer, sorted(rates), shape)
                found = [tidy.one_number(ends, "accuracy").assign(quantity="accuracy")]
                found.append(largest_rates(ends))
                if optimizer == "sgd":
                    found.append(smoothness(ends[ends["learning_rate"].isin(settings["rates"])]))
                parts.append(pd.concat(found).assign(optimizer=optimizer, **shape))
    table = pd.concat(parts).fillna({"outcome": "finite"})
    table = table.assign(images=settings["images"], epochs=settings["epochs"])
    return tidy.from_rows(table.to_dict("records"), CONDITIONS)


# ---- Looking along the gradient ------------------------------------------------------------------


class Looking(training.Batch):
    """Trainings that look along the gradient of a batch every so many steps (never if 0), as far as
    MULTIPLES of a step of plain gradient descent at their rates. `looks` holds a dict of LOOKS
    for each time, every one [R]."""

    def __init__(self, runs, dataset, every):
        super().__init__([training.Training(run) for run in runs], dataset)
        self.every, self.looks = every, []

    def step(self, index, targets):
        """One step of every run, after a look."""
        if self.every and self.steps % self.every == 0:
            self.looks.append(self.look(index, targets))
        super().step(index, targets)

    def look(self, index, targets):
        """What loss and gradient of a batch do along its gradient: LOOKS."""
        flat, buffers = self.network.parameters.flat, self.load(index)
        start, rates = flat.clone(), torch.tensor(self.rates, device=self.device)[:, None]
        loss, gradient = self.loss_and_gradient(buffers, targets)
        found = []
        for multiple in MULTIPLES:
            torch.addcmul(start, rates, gradient, value=-multiple, out=flat)
            there, other = self.loss_and_gradient(buffers, targets)
            product = (other * gradient).sum(1) / other.norm(dim=1)
            found.append((there, product, other.sub_(gradient).norm(dim=1)))
        flat.copy_(start)
        losses, products, changes = (torch.stack(of) for of in zip(*found, strict=True))
        steps = torch.tensor(MULTIPLES, device=self.device)[:, None] * rates[:, 0]
        return along(loss, gradient.norm(dim=1), losses, products, changes, steps)

    def loss_and_gradient(self, buffers, targets):
        """[R] and [R, P], at the present parameters, by what the buffers hold."""
        self.network.forward(buffers, update_statistics=False)
        picked, _ = cross_entropy(buffers, targets)
        self.network.backward(buffers)
        return mean_loss(picked), self.network.gradients.flat.clone()


def along(loss, length, losses, products, changes, steps):
    """LOOKS of R runs, each [R]. At the start: loss and length of the gradient, [R]. At each of K
    points θ − steps · gradient: losses, products of both gradients over the length of the one
    there, distances of the one there from the first, [K, R]."""
    foretold = -steps * length**2
    return {
        "loss_range": losses.max(0).values - losses.min(0).values,
        "gradient_change": changes.max(0).values,
        "lipschitz": (changes / (steps * length)).max(0).values,
        "cosine": (products / length).mean(0),
        "prediction_error": ((losses - loss - foretold) / foretold).abs().mean(0),
    }


# ---- Training ------------------------------------------------------------------------------------


def trained(dataset, settings, optimizer, rates, shape):
    """Train networks without and with batch norm at every rate, with every seed. Frame of block,
    seed, learning_rate, outcome (a name), accuracies (%) and, where it was looked, LOOKS."""
    rows = []
    # in groups, as a run at a rate that is looked at costs more
    looked = set(settings["rates"]) if optimizer == "sgd" else set()
    groups = [[rate for rate in rates if (rate in looked) == look] for look in (True, False)]
    for block, seed, group in itertools.product(BLOCKS, settings["seeds"], filter(None, groups)):
        runs = [
            training.run(
                settings, settings["images"], seed, epochs=settings["epochs"], block=block,
                width=settings["width"], optimizer=optimizer, learning_rate=rate, **shape,
            )
            for rate in group
        ]  # fmt: skip
        rows += ends_of(runs, dataset, settings["every"] if group[0] in looked else 0)
    return pd.DataFrame(rows)


def ends_of(runs, dataset, every):
    """Train the runs of one seed; yields one dict each."""
    batch = Looking(runs, dataset, every)
    for _ in training.each_step(batch, runs[0].steps):
        pass
    ends = {
        name: engine.evaluate(
            batch.network, dataset, training.first(getattr(dataset, name), HELD_OUT)
        )
        for name in ("validation", "test")
    }
    for place, run in enumerate(runs):
        row = {"block": run.block, "seed": run.seed, "learning_rate": run.learning_rate}
        loss, accuracy = ends["test"][place]
        row["outcome"] = "finite" if np.isfinite(loss) else "nan" if np.isnan(loss) else "inf"
        failed = row["outcome"] != "finite"
        row["accuracy"] = CHANCE if failed else accuracy
        row["validation_accuracy"] = CHANCE if failed else ends["validation"][place][1]
        for name in LOOKS if every else ():
            row[name] = np.median([look[name][place].item() for look in batch.looks])
        yield row


# ---- Comparing -----------------------------------------------------------------------------------


def smoothness(ends):
    """What was seen along the gradients, at one rate for both networks and at each one's own best
    rate, and how both differ; frames of rows, of trainings of one shape."""
    own = best_rates.best(ends, ["block"], ["learning_rate"])
    own = own.assign(learning_rate=np.nan, tuning=OWN)
    ends = pd.concat([ends.assign(tuning=ONE), own])
    shown = [
        tidy.one_number(ends, name).assign(quantity=name) for name in LOOKS if name in QUANTITIES
    ]
    pairs = ends.pivot(index=["tuning", "learning_rate", "seed"], columns="block")
    return pd.concat([*shown, *gains(pairs)])


def gains(pairs):
    """Frames of the gains of batch norm where both networks learn, of ends by block (columns) for
    tuning, rate and seed."""
    plain, normed = (pairs.xs(block, axis=1, level="block") for block in BLOCKS)
    cells = ["tuning", "learning_rate"]
    accuracies = pairs["accuracy"].groupby(cells, dropna=False).transform("median")
    both = (accuracies.min(axis=1) >= LEARNS).to_numpy()

    def doublings(name):
        return np.log2(plain[name] / normed[name])

    found = {
        "loss_range_gain": doublings("loss_range"),
        "gradient_change_gain": doublings("gradient_change"),
        "lipschitz_gain": doublings("lipschitz"),
        "cosine_gain": normed["cosine"] - plain["cosine"],
        "prediction_gain": doublings("prediction_error"),
    }
    for quantity, values in found.items():
        rows = values[both].rename("value").reset_index().assign(quantity=quantity)
        yield without_repetitions(rows)


def without_repetitions(rows):
    """Without the own best rates if they are one rate, for every seed and both networks: what was
    measured there is not measured twice."""
    own = rows[rows["tuning"] == OWN].set_index("seed")["value"]
    for _, at_rate in rows[rows["tuning"] == ONE].groupby("learning_rate"):
        if own.equals(at_rate.set_index("seed")["value"]):
            return rows[rows["tuning"] == ONE]
    return rows


def largest_rates(ends):
    """The largest rate that reaches each accuracy, and batch norm's gain in it, of trainings of one
    shape and optimizer at all rates of a ladder."""
    found = []
    for reached in REACHED:
        highest = {
            block: {
                seed: working_range(mine["learning_rate"], mine["accuracy"], reached)[2]
                for seed, mine in of_block.sort_values("learning_rate").groupby("seed")
            }
            for block, of_block in ends.groupby("block")
        }
        table = pd.DataFrame(highest).rename_axis("seed")
        none = table.isna().all(axis=None)
        table = table.fillna(np.log10(ends["learning_rate"].min()))
        for block in BLOCKS:
            rows = table[block].rename("value").reset_index()
            found.append(rows.assign(quantity="largest_rate", block=block, reached=reached))
        if not none:
            gain = (table["batch_norm"] - table["plain"]).rename("value").reset_index()
            found.append(gain.assign(quantity="largest_rate_gain", reached=reached))
    return pd.concat(found)
