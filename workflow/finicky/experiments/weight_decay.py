"""When is a penalty on the squared weights the same as letting them decay, and which of the two
generalises better under Adam?

First as algebra, step by step: penalised training against training whose weights are multiplied by
a number below one. Then as training: Adam with the penalty (L2) against AdamW, rate and λ of each
chosen with equal budgets.
"""

import itertools
from functools import partial

import numpy as np
import pandas as pd
import torch

from finicky.engine.optimizers import adam_kernel
from finicky.experiments import identities, pairing, tidy, training, tuning, update_rules

TITLE = "Weight decay and the L2 penalty"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "trials": ("trials", "random problems per seed and rule, of the algebra"),
    "trainings": (
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["images", "epochs"],
                "properties": {
                    "images": {"$ref": "#/$defs/images"},
                    "epochs": {"$ref": "#/$defs/epochs"},
                },
            },
        },
        "lengths of the trainings, each with another number of images",
    ),
    "rates": ("rates", "learning rates to choose from, with penalty, decay and neither"),
    "decays": (
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["adam", "adamw"],
            "properties": {
                "adam": {"$ref": "#/$defs/positives"},
                "adamw": {"$ref": "#/$defs/positives"},
            },
        },
        "λ to choose from, of Adam's penalty and of AdamW's decay, equally many",
    ),
}
LIMITS = {
    "count(decays.adam) == count(decays.adamw)": "as many λ for each",
    "count(trainings.images) == distinct(trainings.images)": "each number of images once",
}
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
CONDITIONS = {
    "dataset": "level",
    "images": "integer",
    "optimizer": ["sgd", "momentum", "rmsprop", "adam"],
    "regularisation": ["penalty", "decay", "none"],
}
BUDGET = {
    "{trainings.images} images of {dataset}, {trainings.epochs} epochs": [
        "test_accuracy",
        "adamw_minus_l2",
        "gain",
        "tuned_rate",
        "tuned_decay",
        "at_the_edge",
    ],
}
RULES = {  # optimizer: its rule in update_rules
    "sgd": "gradient descent",
    "momentum": "momentum",
    "rmsprop": "rmsprop",
    "adam": "adam",
}
STEPS = 20
EXPLAINED = 1e-6  # relative residual that is rounding


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = [
        {"quantity": quantity, "seed": seed, "value": value, **where}
        for seed in settings["seeds"]
        for quantity, value, where in algebra(np.random.default_rng([seed, 144]), settings)
    ]
    parts = [tidy.from_rows(rows, CONDITIONS)]
    for name, lengths in itertools.product(DATASETS, settings["trainings"]):
        ends = train(name, lengths, settings)
        parts.append(tidy.from_quantities(comparison(ends), CONDITIONS))
    return pd.concat(parts, ignore_index=True)


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
    for optimizer in RULES:
        trials = [unexplained(optimizer, random) for _ in range(settings["trials"])]
        explained = [100.0 * (np.max(shares) < EXPLAINED) for shares in trials]
        where = {"optimizer": optimizer}
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


def unexplained(optimizer, random) -> np.ndarray:
    """For each step along a penalised path, the part of the penalty's effect that is not a
    multiplication of all weights by one number, [STEPS], from 0 to 1.

    The effect is the difference of two steps from one place: with the gradients of the penalised
    loss, and with those of the loss alone. The number is fitted anew at every step.
    """
    problem, rule = Problem(random), RULES[optimizer]
    theta, with_penalty, without, parts = problem.start, {}, {}, []
    for step, rate in enumerate(problem.rates):
        gradient = problem.gradient(theta, step)
        penalised = gradient + 2 * problem.penalty * theta
        plain = update_rules.as_written(rule, theta, gradient, without, step + 1, rate)
        after = update_rules.as_written(rule, theta, penalised, with_penalty, step + 1, rate)
        effect = after - plain
        along = theta * (effect @ theta) / (theta @ theta)
        parts.append(np.linalg.norm(effect - along) / np.linalg.norm(effect))
        theta = after
    return np.array(parts)


# ---- Training -----------------------------------------------------------------------------------

OPTIMIZERS = {"penalty": "adam", "decay": "adamw", "none": "adam"}  # by regularisation


def update_rule(regularisation, decay):
    """Adam's update as training.Training wants it: with the penalty λ Σθ², or the decay ηλθ."""
    if regularisation == "decay":
        return partial(adam_kernel, torch._fused_adamw_, weight_decay=decay)
    # this kernel adds weight_decay × θ to the gradient; the penalty's gradient is 2λθ
    return partial(adam_kernel, torch._fused_adam_, weight_decay=2 * decay)


def train(name, lengths, settings) -> pd.DataFrame:
    """One row per run: its levels and scores, `regularisation`, and which rate and λ it had, in
    `rate`, `decay` and `edge` (whether λ ends its ladder).

    name: of a data set; lengths: one of the settings' trainings.
    """
    dataset = training.prepared(name, settings, lengths["images"])
    ladders = {
        "penalty": settings["decays"]["adam"],
        "decay": settings["decays"]["adamw"],
        "none": [0.0],
    }
    jobs, choices = [], []
    for regularisation, decays in ladders.items():
        for rate, decay, seed in itertools.product(settings["rates"], decays, settings["seeds"]):
            run = training.run(
                settings,
                lengths["images"],
                seed,
                dataset=name,
                epochs=lengths["epochs"],
                optimizer=OPTIMIZERS[regularisation],
                learning_rate=rate,
            )
            rule = update_rule(regularisation, decay)
            jobs.append(training.Training(run, rule=rule))
            edge = decay in (min(decays), max(decays))
            choices.append(
                {"regularisation": regularisation, "rate": rate, "decay": decay, "edge": edge}
            )
    found = training.train(jobs, dataset)
    return pd.DataFrame([row | choice for row, choice in zip(found, choices, strict=True)])


def comparison(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """With penalty, decay and neither: the runs at the pair of rate and λ that is best for the
    other seeds' validation images, by quantity.

    rows: as `train` returns them, of one data set and number of images.
    """
    # rate and λ are chosen together, so neither is a level of the cell; that is the regularisation
    rows = rows.assign(optimizer=rows["regularisation"], learning_rate=0.0)
    rows["choice"] = rows.groupby(["rate", "decay"]).ngroup()
    best = tuning.best_by_other_seeds(rows, "choice", by="validation_accuracy")
    of = {arm: best[best["regularisation"] == arm] for arm in OPTIMIZERS}

    def against(a, b):
        return pairing.pair(of[a], of[b], across=["optimizer"]).assign(regularisation=a)

    best = best.drop(columns="optimizer")
    chosen = best[best["regularisation"] != "none"]
    return {
        "test_accuracy": tidy.one_number(best, "test_accuracy"),
        "adamw_minus_l2": against("decay", "penalty").drop(columns="regularisation"),
        "gain": pd.concat([against("penalty", "none"), against("decay", "none")]),
        "tuned_rate": tidy.one_number(best, "rate"),
        "tuned_decay": tidy.one_number(chosen, "decay"),
        "at_the_edge": tidy.one_number(chosen, chosen["edge"]),
    }
