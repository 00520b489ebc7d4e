"""What the engine's tests share: a small data set, and our networks and trainings in plain PyTorch.

The twins are written as one would with torch.nn, autograd and torch.optim, and share no code with
the engine but its random streams.
"""

import json
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.nn import functional

from finicky.engine import streams
from finicky.engine.network import BN_EPS, BN_MOMENTUM, Architecture, Network
from finicky.engine.optimizers import OPTIMIZERS as REGISTERED
from finicky.engine.optimizers import optimizer
from finicky.engine.train import Dataset, Split, prepare
from finicky.runs import Run

FUNCTIONS = {
    "identity": lambda z: z,
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "selu": functional.selu,
    "softplus": functional.softplus,  # not registered: a test's own activation
}

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr, alpha=0.9, eps=1e-8),
    "adam": lambda p, lr: torch.optim.Adam(p, lr, betas=(0.9, 0.999), eps=1e-8),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=0.01),
}


# Optimizers that a user might write, and that train nothing.
IDLE = {
    "returns_instead": lambda parameters, gradient, state, rate, step: parameters - rate * gradient,
    "changes_the_gradient": lambda parameters, gradient, state, rate, step: gradient.mul_(rate),
}


@contextmanager
def registered(name, update, state=()):
    """The function `update` as the optimizer `name`, for as long as a test needs it."""
    optimizer(name, state)(update)
    yield
    del REGISTERED[name]


def make_run(**fields):
    """A run, small unless told otherwise."""
    defaults = {
        "dataset": "mnist", "images": 150, "epochs": 2, "depth": 2, "block": "plain",
        "activation": "relu", "init": "he", "optimizer": "sgd", "learning_rate": 0.01,
        "batch_size": 32, "width": 32, "seed": 0,
    }  # fmt: skip
    return Run(**defaults | fields)


@contextmanager
def training_process():
    """The settings of a training process, for as long as a test needs them."""
    threads = torch.get_num_threads()
    prepare()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


class TinyDataset(Dataset):
    """Images of ten noisy prototypes, which a network learns within a few epochs."""

    mean, deviation = 0.1307, 0.3081

    def __init__(self, images=150, validation=40, test=60):
        random = torch.Generator().manual_seed(0)
        prototypes = torch.randint(0, 256, (10, 784), generator=random)

        def split(n):
            labels = torch.randint(0, 10, (n,), generator=random)
            noise = torch.randint(0, 256, (n, 784), generator=random)
            return Split(((prototypes[labels] + noise) // 2).to(torch.uint8), labels)

        self.scale = 1 / (255 * self.deviation)
        self.shift = torch.tensor(-self.mean / self.deviation)
        self.train, self.test = split(images), split(test)
        self.validation = split(validation) if validation else None


def small_network(block="plain", activation="relu", depth=6, runs=3):
    """Networks of 12 inputs, 32 wide, 5 classes, in float64; biases, γ and β off their start."""
    architecture = Architecture(depth, block, activation, width=32, inputs=12, classes=5)
    network = Network.initial(
        architecture, [("he", seed) for seed in range(runs)], dtype=torch.float64
    )
    random = torch.Generator().manual_seed(1)
    parts = network.parameters
    for part in [*parts.biases, *parts.gammas, *parts.betas]:
        part += 0.1 * torch.randn(part.shape, generator=random, dtype=part.dtype)
    return network


class PlainNetwork(nn.Module):
    """One of the runs of a Network in plain torch.nn, with its present weights."""

    def __init__(self, network, run=0):
        super().__init__()
        shape, parts = network.architecture, network.parameters
        self.function = FUNCTIONS[shape.activation]
        self.residual = shape.block in ("residual", "batch_norm_residual")
        self.linears = nn.ModuleList(
            nn.Linear(len(weights[run]), len(weights[run].T), dtype=weights.dtype)
            for weights in parts.weights
        )
        self.norms = nn.ModuleList(nn.Identity() for _ in range(shape.depth - 1))
        if shape.block in ("batch_norm", "batch_norm_residual"):
            self.norms = nn.ModuleList(
                nn.BatchNorm1d(shape.width, BN_EPS, BN_MOMENTUM, dtype=parts.flat.dtype)
                for _ in range(shape.depth - 1)
            )
        with torch.no_grad():
            for linear, weights, biases in zip(
                self.linears, parts.weights, parts.biases, strict=True
            ):
                linear.weight.copy_(weights[run].T)
                linear.bias.copy_(biases[run, 0])
            for norm, gamma, beta in zip(self.norms, parts.gammas, parts.betas, strict=False):
                norm.weight.copy_(gamma[run, 0])
                norm.bias.copy_(beta[run, 0])

    def forward(self, x):
        """Logits; the outputs of all layers are kept in `self.outputs`."""

        def linear_and_norm(layer, h):
            return self.norms[layer](self.linears[layer](h))

        self.outputs = [self.function(linear_and_norm(0, x))]
        for layer in range(1, len(self.norms), 2):
            start = self.outputs[-1]
            inside = self.function(linear_and_norm(layer, start))
            branch = linear_and_norm(layer + 1, inside)
            end = self.function(start + branch if self.residual else branch)
            self.outputs += [inside, end]
        self.outputs.append(self.linears[-1](self.outputs[-1]))
        return self.outputs[-1]

    def assert_gradients(self, network, run, **tolerances):
        """Compare the gradients of `network`'s run with the ones that autograd left here."""
        theirs = network.gradients
        for layer, linear in enumerate(self.linears):
            torch.testing.assert_close(
                theirs.weights[layer][run], linear.weight.grad.T, **tolerances
            )
            torch.testing.assert_close(theirs.biases[layer][run, 0], linear.bias.grad, **tolerances)
        for norm, gamma, beta in zip(self.norms, theirs.gammas, theirs.betas, strict=False):
            torch.testing.assert_close(gamma[run, 0], norm.weight.grad, **tolerances)
            torch.testing.assert_close(beta[run, 0], norm.bias.grad, **tolerances)


def train_plainly(run, dataset, dtype=torch.float64):
    """A run's curves (a list of dicts, one an epoch) and batch losses, by the textbook's loop."""

    def inputs(pixels):
        return (pixels.to(dtype) / 255 - dataset.mean) / dataset.deviation

    architecture = Architecture(run.depth, run.block, run.activation, run.width)
    network = PlainNetwork(Network.initial(architecture, [(run.init, run.seed)], dtype))
    optimizer = OPTIMIZERS[run.optimizer](network.parameters(), lr=run.learning_rate)
    curves, all_losses = [], []
    for epoch in range(1, run.epochs + 1):
        network.train()
        losses, right = [], 0
        order = streams.permutation(len(dataset.train.labels), run.seed, "order", epoch)
        for index in order.split(run.batch_size):
            logits = network(inputs(dataset.train.images[index]))
            labels = dataset.train.labels[index]
            loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            right += (logits.argmax(1) == labels).sum().item()
        row = {
            "epoch": epoch,
            "running_loss": sum(losses) / len(losses),
            "running_accuracy": 100 * right / len(order),
        }
        network.eval()
        for name in ("train", "validation", "test"):
            if name != "test" and epoch < run.epochs:
                row |= {f"{name}_loss": None, f"{name}_accuracy": None}
                continue
            part = getattr(dataset, name)
            with torch.no_grad():
                logits = network(inputs(part.images))
            row[f"{name}_loss"] = functional.cross_entropy(logits, part.labels).item()
            hits = (logits.argmax(1) == part.labels).double()
            row[f"{name}_accuracy"] = 100 * hits.mean().item()
        curves.append(row)
        all_losses += losses
    return curves, all_losses


def assert_curves(found, expected, rel):
    """Compare two lists of rows, None where the other has None."""
    for mine, theirs in zip(found, expected, strict=True):
        numbers = {name: value for name, value in theirs.items() if value is not None}
        assert {name: mine[name] for name in numbers} == pytest.approx(numbers, rel=rel)
        assert [name for name in mine if mine[name] is None] == [
            name for name in theirs if theirs[name] is None
        ]


def bits(record):
    """A record as text, without what depends on the machine's mood; fails on NaN and infinity."""
    lasting = {key: value for key, value in record.items() if key not in ("seconds", "fused")}
    return json.dumps(lasting, allow_nan=False)
