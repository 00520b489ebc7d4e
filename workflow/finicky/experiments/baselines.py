"""What the engine is compared with: the same training steps, written in four other ways.

Each class trains R networks of one architecture, with `step()` doing one optimizer step of each:
the textbook's loop, one network at a time with the data in memory, torch.func's vmap, and stacked
tensors with autograd. None of them is used for results.
"""

import itertools
import tempfile
from pathlib import Path

import torch
from torch import nn

from finicky import data
from finicky.engine.network import Network
from finicky.engine.train import CHECK_EVERY, FusedBatch
from finicky.experiments import training
from finicky.runs import RUNS_A_SEED


class ResidualBlock(nn.Module):
    """The chapter's block: linear, [BN], ReLU, linear, [BN], add the input, ReLU."""

    def __init__(self, width, batch_norm):
        super().__init__()
        norm = nn.BatchNorm1d if batch_norm else lambda _: nn.Identity()
        self.inside = nn.Sequential(
            nn.Linear(width, width), norm(width), nn.ReLU(), nn.Linear(width, width), norm(width)
        )

    def forward(self, x):
        """[B, width] to [B, width]."""
        return torch.relu(self.inside(x) + x)


def sequential(architecture):
    """The architecture as PyTorch modules (ReLU)."""
    width, batch_norm = architecture.width, architecture.batch_norm
    layers = [nn.Linear(architecture.inputs, width)]
    layers += [nn.BatchNorm1d(width)] * batch_norm + [nn.ReLU()]
    for _ in range((architecture.depth - 2) // 2):
        if architecture.adds_input(2):
            layers.append(ResidualBlock(width, batch_norm))
        else:
            layers += [nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, architecture.classes))


class Batches:
    """Batches of 64 in a random order of the data set's images, over and over."""

    def __init__(self, images, size=64):
        self.order = torch.randperm(images)
        self.size, self.at = size, 0

    def __next__(self):
        if self.at + self.size > len(self.order):
            self.at = 0
        self.at += self.size
        return self.order[self.at - self.size : self.at]


class Textbook:
    """A DataLoader, a transform for every picture, the loss read after every step."""

    runs = 1

    def __init__(self, architecture, optimizer, dataset, folder):
        from torch.utils.data import DataLoader
        from torchvision import datasets, transforms

        normalise = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
        )
        self.root = tempfile.TemporaryDirectory()
        raw = Path(self.root.name) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for file in data.files("mnist", folder):
            (raw / file.name).symlink_to(file.resolve())
        pictures = datasets.MNIST(self.root.name, train=True, transform=normalise)
        self.loader = DataLoader(pictures, batch_size=64, shuffle=True)
        self.batches = iter(self.loader)
        self.model = nn.Sequential(nn.Flatten(), sequential(architecture))
        kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]
        self.optimizer = kind(self.model.parameters(), lr=1e-4)
        self.loss = nn.CrossEntropyLoss()
        self.total, self.correct = 0.0, 0

    def step(self):
        """One step."""
        try:
            images, labels = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            images, labels = next(self.batches)
        self.optimizer.zero_grad()
        output = self.model(images)
        loss = self.loss(output, labels)
        if torch.isnan(loss):
            raise ArithmeticError("the benchmark's loss became NaN")
        loss.backward()
        self.optimizer.step()
        self.total += loss.item()
        self.correct += (output.argmax(1) == labels).sum().item()


class InMemory:
    """What the three autograd ways share: normalised images in memory, batches, the optimizer."""

    def __init__(self, dataset, runs=1):
        self.runs = runs
        pixels = dataset.train.images
        self.images = dataset.normalise(pixels)
        self.labels = dataset.train.labels
        self.batches = Batches(len(self.labels), runs * 64)
        self.total = torch.zeros(runs)

    def fused_optimizer(self, name, parameters):
        """PyTorch's fused optimizer `name`."""
        kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[name]
        self.optimizer = kind(parameters, lr=1e-4, fused=True)


class OneByOne(InMemory):
    """nn.Sequential and autograd, one network after the other."""

    def __init__(self, architecture, optimizer, dataset):
        super().__init__(dataset)
        self.model = sequential(architecture)
        self.fused_optimizer(optimizer, self.model.parameters())
        self.loss = nn.CrossEntropyLoss()
        self.correct = torch.zeros((), dtype=torch.int64)

    def step(self):
        """One step."""
        index = next(self.batches)
        images, labels = self.images[index], self.labels[index]
        self.optimizer.zero_grad()
        output = self.model(images)
        loss = self.loss(output, labels)
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()
        self.correct += (output.detach().argmax(1) == labels).sum()


class Vmap(InMemory):
    """torch.func: the gradient function of one network, mapped over stacked parameters.

    Batch norm's running averages cannot be updated in place there and are left out, in its favour.
    """

    def __init__(self, architecture, optimizer, dataset, runs):
        super().__init__(dataset, runs)
        models = [sequential(architecture) for _ in range(runs)]
        for model in models:
            for module in model.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.track_running_stats = False
                    module.running_mean = module.running_var = module.num_batches_tracked = None
        self.parameters, _ = torch.func.stack_module_state(models)
        self.fused_optimizer(optimizer, self.parameters.values())
        model = models[0]

        def loss(parameters, images, labels):
            output = torch.func.functional_call(model, parameters, (images,))
            return nn.functional.cross_entropy(output, labels)

        self.gradient = torch.func.vmap(torch.func.grad_and_value(loss))

    def step(self):
        """One step of every network."""
        index = next(self.batches).view(self.runs, -1)
        gradients, losses = self.gradient(self.parameters, self.images[index], self.labels[index])
        for name, parameter in self.parameters.items():
            parameter.grad = gradients[name]
        self.optimizer.step()
        self.total += losses.detach()


class StackedAutograd(InMemory):
    """Stacked parameters [R, in, out] and autograd."""

    def __init__(self, architecture, optimizer, dataset, runs):
        super().__init__(dataset, runs)
        self.architecture = architecture
        start = Network.initial(architecture, [("he", seed) for seed in range(runs)]).parameters
        names = ("weights", "biases", "gammas", "betas")
        for name in names:
            parts = [part.clone().requires_grad_() for part in getattr(start, name)]
            setattr(self, name, parts)
        self.fused_optimizer(optimizer, [part for name in names for part in getattr(self, name)])

    def step(self):
        """One step of every network."""
        index = next(self.batches).view(self.runs, -1)
        h, outputs = self.images[index], []
        for layer in range(self.architecture.hidden):
            u = torch.baddbmm(self.biases[layer], h, self.weights[layer])
            if self.architecture.batch_norm:
                columns = u.transpose(0, 1).flatten(1)  # batch norm takes [B, R · width]
                scaling = self.gammas[layer].flatten(), self.betas[layer].flatten()
                columns = nn.functional.batch_norm(columns, None, None, *scaling, training=True)
                u = columns.unflatten(1, (self.runs, -1)).transpose(0, 1)
            if self.architecture.adds_input(layer):
                u = u + outputs[layer - 2]
            h = torch.relu(u)
            outputs.append(h)
        logits = torch.baddbmm(self.biases[-1], h, self.weights[-1])
        losses = nn.functional.cross_entropy(
            logits.flatten(0, 1), self.labels[index].flatten(), reduction="none"
        )
        losses = losses.unflatten(0, (self.runs, -1)).mean(1)
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.optimizer.step()
        self.total += losses.detach()


class Engine:
    """The project's own: FusedBatch, step by step, RUNS_A_SEED runs of every seed."""

    def __init__(self, architecture, optimizer, dataset, runs, device="cpu"):
        self.runs, self.steps = runs, 0
        levels = {
            "depth": architecture.depth,
            "block": architecture.block,
            "optimizer": optimizer,
            "learning_rate": 1e-4,
            "width": architecture.width,
        }
        images = len(dataset.train.labels)
        here = [
            training.run({"device": device}, images, run // RUNS_A_SEED, **levels)
            for run in range(runs)
        ]
        self.batch = FusedBatch(here, dataset, device)
        self.batches = itertools.cycle(self.batch.batches(1)[:-1])  # whole ones

    @torch.no_grad()
    def step(self):
        """One step of every network."""
        self.batch.step(*next(self.batches))
        self.steps += 1
        if self.steps % CHECK_EVERY == 0:
            self.batch.take_losses()


class Products:
    """Only a step's matrix products, each shape from one set of operands that stays in cache."""

    def __init__(self, architecture, runs, batch=64):
        self.runs, self.flops, self.products = runs, 0, []
        fans = architecture.fans()
        for fan_in, fan_out in dict.fromkeys(fans):
            x, w = torch.randn(runs, batch, fan_in), torch.randn(runs, fan_in, fan_out)
            d, z = torch.randn(runs, batch, fan_out), torch.empty(runs, batch, fan_out)
            here = [(x, w, z), (x.mT, d, torch.empty_like(w))]
            if fan_in != architecture.inputs:  # the first layer's input needs no gradient
                here.append((d, w.mT, torch.empty_like(x)))
            times = fans.count((fan_in, fan_out))
            self.products += here * times
            self.flops += 2 * batch * fan_in * fan_out * len(here) * times

    def step(self):
        """The products of one step of every network."""
        for a, b, out in self.products:
            torch.bmm(a, b, out=out)
