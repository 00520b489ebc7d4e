"""When is a penalty on the squared weights the same as letting them decay, and which of the two
generalises better under Adam?

First as algebra, step by step: penalised training against training whose weights are multiplied by
a number below one. Then as training: Adam with the penalty (L2) against AdamW, rate and decay of
each chosen with equal budgets.
"""

import itertools

import numpy as np
import pandas as pd
import torch

from finicky.engine import train as engine
from finicky.engine.optimizers import adam_kernel
from finicky.experiments import arms, identities, trainings
from finicky.experiments.trajectories import update
from finicky.runs import Run

TITLE = "Weight decay and the L2 penalty"
ANSWERS = ["C144", "C145", "C146"]
READS = []
DATASETS = ["mnist", "fashion_mnist"]
QUANTITIES = {
    "penalty_error": ("", "largest relative error: SGD on the penalised loss against decay by "
                      "1 − 2ηλ, rates that change"),
    "pytorch_error": ("", "the same: PyTorch's SGD with weight_decay = 2λ"),
    "same_lambda_difference": ("%", "how far weight_decay = λ is from it, over the effect of the "
                               "penalty, median"),
    "share_that_decays": ("%", "trials in which, at every step, the penalty multiplies all weights "
                          "by one number"),
    "unexplained": ("%", "part of the penalty's effect that no such number explains, median over "
                    "steps and trials"),
    "test_accuracy": ("%", "test accuracy at the best rate and decay"),
    "adamw_minus_l2": ("pp", "test accuracy: AdamW minus Adam with the penalty, rate and decay of "
                       "each tuned"),
    "gain": ("pp", "test accuracy: with decay or penalty minus Adam without, each tuned"),
    "tuned_rate": ("", "the rate chosen"),
    "tuned_decay": ("", "the λ chosen"),
    "at_the_edge": ("0/1", "whether the λ chosen ends its ladder"),
}  # fmt: skip
FIGURES = {}

CONDITIONS = {"dataset": "str", "images": "Int64", "optimizer": "str"}
RULES = ["descent", "momentum", "rmsprop", "adam"]
STEPS = 20
EXPLAINED = 1e-6  # relative residual that is rounding


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    settings: {"trials": of the algebra a seed, "trainings": [{"images", "epochs"}], "rates": of all
    arms, "decays": {"adam": λ of the penalty, "adamw": λ of the decay}, equally many}.
    """
    engine.prepare()
    rows = [
        {"quantity": quantity, "seed": seed, "value": value, **where}
        for seed in settings["seeds"]
        for quantity, value, where in algebra(np.random.default_rng([seed, 144]), settings)
    ]
    parts = [arms.tidy(rows, CONDITIONS)]
    for name, lengths in itertools.product(DATASETS, settings["trainings"]):
        dataset = engine.Dataset(name, settings["data"], lengths["images"])
        ends = train(name, dataset, lengths["epochs"], settings)
        parts.append(arms.measured(comparison(ends), CONDITIONS))
    return pd.concat(parts, ignore_index=True)


def draw(table: pd.DataFrame) -> dict:
    """No figure."""
    return {}


# ---- Algebra ------------------------------------------------------------------------------------


def decay_factor(rate, penalty):
    """What SGD's penalty multiplies the weights by: 1 − 2ηλ."""
    return 1 - 2 * rate * penalty


def algebra(random, settings):
    """Yields (quantity, value, conditions) of the identities."""
    errors = {"penalty_error": [], "pytorch_error": [], "same_lambda_difference": []}
    for _ in range(settings["trials"]):
        for quantity, value in sgd_trial(random).items():
            errors[quantity].append(value)
    for quantity in ("penalty_error", "pytorch_error"):
        yield quantity, max(errors[quantity]), {}
    yield "same_lambda_difference", 100 * float(np.median(errors["same_lambda_difference"])), {}
    for rule in RULES:
        trials = [unexplained(rule, random) for _ in range(settings["trials"])]
        explained = [100.0 * (np.max(shares) < EXPLAINED) for shares in trials]
        where = {"optimizer": {"descent": "sgd"}.get(rule, rule)}
        yield "share_that_decays", float(np.mean(explained)), where
        yield "unexplained", 100 * float(np.median(np.concatenate(trials))), where


class Problem:
    """A loss on mini-batches: mean log cosh of the errors of a random linear model, float64."""

    def __init__(self, random):
        self.weights = int(random.integers(2, 13))
        self.inputs = torch.tensor(random.normal(size=(STEPS, 8, self.weights)))
        self.targets = torch.tensor(random.normal(size=(STEPS, 8)))
        self.start = random.normal(size=self.weights)
        self.rates = 10 ** random.uniform(-2, -0.5, STEPS)
        self.penalty = 10 ** random.uniform(-3, 0)

    def loss(self, theta, step):
        """The loss of parameters (a tensor) on the batch of a step."""
        errors = self.inputs[step] @ theta - self.targets[step]
        return torch.log(torch.cosh(errors)).mean()

    def gradient(self, theta, step):
        """Its gradient, for an array."""
        theta = torch.tensor(theta, requires_grad=True)
        return torch.autograd.grad(self.loss(theta, step), theta)[0].numpy()

    def by_pytorch(self, penalty=0.0, weight_decay=0.0):
        """Parameters [STEPS, p] of torch.optim.SGD on loss + penalty × Σθ²."""
        theta = torch.tensor(self.start, requires_grad=True)
        optimizer, path = torch.optim.SGD([theta], 1.0, weight_decay=weight_decay), []
        for step, rate in enumerate(self.rates):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            (self.loss(theta, step) + penalty * theta.square().sum()).backward()
            optimizer.step()
            path.append(theta.detach().numpy().copy())
        return np.array(path)

    def by_decay(self):
        """The same by decay: θ ← (1 − 2ηλ) θ − η ∇L(θ)."""
        theta, path = self.start, []
        for step, rate in enumerate(self.rates):
            factor = decay_factor(rate, self.penalty)
            theta = factor * theta - rate * self.gradient(theta, step)
            path.append(theta)
        return np.array(path)


def sgd_trial(random) -> dict:
    """Relative errors of one random problem."""
    problem = Problem(random)
    penalised = problem.by_pytorch(penalty=problem.penalty)
    twice = problem.by_pytorch(weight_decay=2 * problem.penalty)
    once = problem.by_pytorch(weight_decay=problem.penalty)
    effect = np.abs(penalised - problem.by_pytorch()).max()
    return {
        "penalty_error": identities.relative_error(problem.by_decay(), penalised),
        "pytorch_error": identities.relative_error(twice, penalised),
        "same_lambda_difference": np.abs(once - penalised).max() / effect,
    }


def unexplained(rule, random) -> np.ndarray:
    """For each step along a penalised path, the part of the penalty's effect that is not a
    multiplication of all weights by one number, [STEPS], from 0 to 1.

    The effect is the difference of two steps from one place: with the gradients of the penalised
    loss, and with those of the loss alone. The number is fitted anew at every step.
    """
    problem = Problem(random)
    theta, with_penalty, without, parts = problem.start, {}, {}, []
    for step, rate in enumerate(problem.rates):
        gradient = problem.gradient(theta, step)
        penalised = gradient + 2 * problem.penalty * theta
        plain = update(rule, theta, gradient, without, step + 1, rate)
        after = update(rule, theta, penalised, with_penalty, step + 1, rate)
        effect = after - plain
        along = theta * (effect @ theta) / (theta @ theta)
        parts.append(np.linalg.norm(effect - along) / np.linalg.norm(effect))
        theta = after
    return np.array(parts)


# ---- Training -----------------------------------------------------------------------------------


class Decaying(engine.FusedBatch):
    """Runs of Adam with an L2 penalty, or of AdamW, each with a λ of its own.

    jobs: pairs (Run, λ), the run's optimizer adam (penalty λ Σθ²) or adamw (decay ηλθ).
    """

    def __init__(self, jobs, dataset):
        super().__init__([run for run, _ in jobs], dataset)
        self.decays = [decay for _, decay in jobs]

    def keep(self, rows):
        self.decays = [self.decays[row] for row in rows]
        super().keep(rows)

    def update(self, run):
        decay = self.decays[run]
        if self.runs[run].optimizer == "adam":
            # the kernel adds weight_decay × θ to the gradient; the penalty's gradient is 2λθ
            adam_kernel(torch._fused_adam_, *self.rows[run], self.steps, 2 * decay)
        else:
            adam_kernel(torch._fused_adamw_, *self.rows[run], self.steps, decay)


def train(name, dataset, epochs, settings) -> pd.DataFrame:
    """A row a run: arms l2 (Adam with the penalty), adamw, and none (Adam), in column `arm`."""
    rows = []
    for arm, optimizer, decays in (
        ("l2", "adam", settings["decays"]["adam"]),
        ("adamw", "adamw", settings["decays"]["adamw"]),
        ("none", "adam", [0.0]),
    ):
        settled = list(itertools.product(settings["rates"], decays, settings["seeds"]))
        jobs = [
            (
                Run(
                    dataset=name, images=len(dataset.train.labels), epochs=epochs, depth=2,
                    block="plain", activation="relu", init="he", optimizer=optimizer,
                    learning_rate=rate, batch_size=64, width=128, seed=seed,
                ),
                decay,
            )
            for rate, decay, seed in settled
        ]  # fmt: skip
        found = trainings.trained(jobs, dataset, Decaying)
        edges = (min(decays), max(decays))
        for row, (rate, decay, _) in zip(found, settled, strict=True):
            choice = {"rate": rate, "decay": decay, "edge": decay in edges}
            rows.append(row | choice | {"arm": arm})
    return pd.DataFrame(rows)


def comparison(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each arm at the pair of rate and λ that is best for the other seeds' validation images."""
    # rate and λ are chosen together, so neither is a level of the cell
    rows = rows.assign(optimizer=rows["arm"], learning_rate=0.0)
    rows["choice"] = rows.groupby(["rate", "decay"]).ngroup()
    best = arms.best_by_other_seeds(rows, "choice", by="validation_accuracy")
    of = {arm: best[best["arm"] == arm] for arm in ("l2", "adamw", "none")}
    chosen = best[best["arm"] != "none"]
    gains = [
        arms.pair(of[arm], of["none"], across=["optimizer"]).assign(optimizer=arm)
        for arm in ("l2", "adamw")
    ]
    return {
        "test_accuracy": arms.each(best, "test_accuracy"),
        "adamw_minus_l2": arms.pair(of["adamw"], of["l2"], across=["optimizer"]),
        "gain": pd.concat(gains),
        "tuned_rate": arms.each(best, "rate"),
        "tuned_decay": arms.each(chosen, "decay"),
        "at_the_edge": arms.each(chosen, chosen["edge"]),
    }
