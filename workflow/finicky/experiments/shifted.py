"""Trainings whose internal covariate shift is watched, and into which a shift can be put.

The shift comes behind batch norm: the same for all images of a batch, other for every unit.
"""

import itertools

import torch

from finicky.engine import streams
from finicky.engine.network import Buffers, cross_entropy
from finicky.experiments import training

PROBED = 1000  # training images whose activations are looked at


def drawn_anew(seed, shape, size):
    """A shift as a function of (step, steps): (scale, offset), each of `shape` [layers, 1, width],
    drawn anew at every step: even offsets up to ±size[0], even scales from 1 to size[1] (Santurkar
    et al. 2018, appendix A, but the same for all images of a batch)."""

    def shift(step, steps):
        return _shift(streams.generator(seed, "shift drawn anew", step), shape, size, 1.0)

    return shift


def drifting(seed, shape, size):
    """The same from nothing at the first step evenly to its full size at the last."""

    def shift(step, steps):
        generator = streams.generator(seed, "drifting shift")
        return _shift(generator, shape, size, min(step / steps, 1.0))

    return shift


def _shift(generator, shape, size, share):
    offset = share * size[0] * (2 * torch.rand(shape, generator=generator) - 1)
    return 1 + share * (size[1] - 1) * torch.rand(shape, generator=generator), offset


# ---- Watching ------------------------------------------------------------------------------------


class Watched(training.Batch):
    """Trainings of one seed whose covariate shift is watched, with a `shift` behind batch norm.

    What a shift makes of γ x̂ + β, s (γ x̂ + β) + m, is batch norm with γ' = s γ and β' = s β + m:
    these are put in for a step, and taken out of parameters and gradients before the update.
    `changes` and `cosines` [looks, R, layers after the first] say how the gradients by the weights
    changed when the layers before took their step, every so many steps.
    """

    def __init__(self, runs, dataset, shift, every, steps):
        super().__init__([training.Training(run) for run in runs], dataset)
        self.shift, self.every, self.last_step = shift, every, steps
        self.changes, self.cosines = [], []

    def step(self, index, targets):
        """One step of every run; the losses are not kept."""
        b = self.load(index)
        look = self.steps % self.every == 0
        kept = self.put_in(self.steps)
        self.pass_both_ways(b, targets)
        before = self.take_out(kept)
        first = [weights.clone() for weights in self.network.gradients.weights] if look else []
        self.steps += 1
        self.step_count.add_(1)
        for run in range(len(self.runs)):
            self.update(run)
        if look:
            self.look(b, targets, before, first)

    def pass_both_ways(self, buffers, targets, update_statistics=True):
        """Forward and backward: the gradients of the loss."""
        self.network.forward(buffers, update_statistics)
        cross_entropy(buffers, targets)
        self.network.backward(buffers)

    def put_in(self, step):
        """Put the shift of a step in; returns what `take_out` needs."""
        parts, kept = self.network.parameters, self.network.parameters.flat.clone()
        scale = None
        if self.shift:
            scale, offset = (part.to(self.device) for part in self.shift(step, self.last_step))
            for gamma, beta, s, m in zip(parts.gammas, parts.betas, scale, offset, strict=True):
                gamma.mul_(s)
                beta.mul_(s).add_(m)
        return kept, scale

    def take_out(self, kept):
        """Parameters and gradients as they are without the shift; returns the parameters' copy."""
        flat, scale = kept
        self.network.parameters.flat.copy_(flat)
        if scale is not None:
            gradients = self.network.gradients
            for gamma, beta, s in zip(gradients.gammas, gradients.betas, scale, strict=True):
                gamma.mul_(s)
                beta.mul_(s)
        return flat

    def look(self, buffers, targets, before, gradients):
        """How the gradients by a layer's weights change when the layers before it take their step
        and it does not (Santurkar et al. 2018, definition 2.1), by the images of this step."""
        after = self.network.parameters.flat.clone()
        flat, ends = self.network.parameters.flat, self._layer_ends()
        flat.copy_(before)
        changes, cosines = [], []
        for layer in range(1, len(ends)):
            flat[:, : ends[layer - 1]] = after[:, : ends[layer - 1]]
            kept = self.put_in(self.steps - 1)
            self.pass_both_ways(buffers, targets, update_statistics=False)
            self.take_out(kept)
            change, cosine = compare(gradients[layer], self.network.gradients.weights[layer])
            changes.append(change)
            cosines.append(cosine)
        flat.copy_(after)
        self.changes.append(torch.stack(changes, 1))
        self.cosines.append(torch.stack(cosines, 1))

    def _layer_ends(self):
        """Where the parameters of each layer end in a row of the flat buffer."""
        p = self.network.parameters
        of_layers = itertools.zip_longest(p.weights, p.biases, p.gammas, p.betas)
        sizes = [sum(part[0].numel() for part in parts if part is not None) for parts in of_layers]
        return list(itertools.accumulate(sizes))

    def moments(self):
        """Mean and deviation of each hidden unit's output over PROBED training images, a batch:
        two tensors [layers, R, width]; with the shift of the present step."""
        pixels = self.dataset.train.images[:PROBED]
        buffers = Buffers(self.architecture, self.group, len(pixels), device=self.device)
        self.dataset.normalise(pixels.expand(buffers.x.shape), buffers.x)
        kept = self.put_in(self.steps)
        self.network.forward(buffers, update_statistics=False)
        self.take_out(kept)
        outputs = torch.stack(buffers.y)
        return outputs.mean(2), outputs.std(2, unbiased=False)

    def accuracies(self, split, most):
        """Accuracy in % on up to so many batches of a split, each batch normalised by itself and
        shifted like a further step; NaN for a network whose outputs are not finite."""
        batches = min(most, len(split.labels) // self.size)
        correct = torch.zeros(len(self.runs), device=self.device)
        b = self.buffers[self.size]
        for number in range(batches):
            rows = slice(number * self.size, (number + 1) * self.size)
            self.dataset.normalise(split.images[rows].expand(b.x.shape), b.x)
            kept = self.put_in(self.steps + number)
            logits = self.network.forward(b, update_statistics=False)
            self.take_out(kept)
            right = (logits.argmax(1) == split.labels[rows]).sum(1)
            correct += torch.where(logits.isfinite().all(2).all(1), right, torch.nan)
        return (100 * correct / (batches * self.size)).tolist()


def compare(before, after):
    """Distance of two gradients [R, ...] over the length of the first, and their cosine, each [R];
    0 and 1 where both are zero."""
    before, after = before.flatten(1).double(), after.flatten(1).double()
    distance, length = (after - before).norm(dim=1), before.norm(dim=1)
    cosine = (before * after).sum(1) / (length * after.norm(dim=1))
    same = distance == 0
    return torch.where(same, 0.0, distance / length), torch.where(same, 1.0, cosine)


def distance_of_moments(before, after):
    """How far units' distributions moved, in deviations before: [layers, R], the median over the
    units that vary; before, after: (means, deviations), each [layers, R, width]."""
    (mean, deviation), (later_mean, later_deviation) = before, after
    moved = torch.hypot(later_mean - mean, later_deviation - deviation) / deviation
    return moved.masked_fill(deviation == 0, torch.nan).nanmedian(2).values
