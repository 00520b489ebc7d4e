"""The one family of networks: forward and backward, written out, for R runs at once.

A network of depth D has D - 1 hidden layers and a linear output layer. Hidden layer l computes

    z = h W + b        h = the layer below, [R, B, in]; W [R, in, out]
    u = BN(z)          with batch norm
    u = u + y[l - 2]   with residual connections, on the second layer of each block (l = 2, 4, ...)
    y = f(u)

so the residual block is the chapter's: linear, [BN], f, linear, [BN], add the input, f.
All parameters of a run lie in one row of a flat buffer [R, P]; gradients likewise.
"""

from dataclasses import dataclass

import torch

from finicky.engine.activations import ACTIVATIONS
from finicky.engine.initializers import initial_weights

BN_EPS = 1e-5
BN_MOMENTUM = 0.1
# Rows of the flat buffer start at multiples of 16 floats, so that vectorised loops treat the last
# elements of a run alike wherever the run lies.
ROW_MULTIPLE = 16


@dataclass(frozen=True)
class Architecture:
    """What runs of a fused batch share: depth = 2 + 2 × blocks, block, activation, widths."""

    depth: int
    block: str
    activation: str
    width: int = 128
    inputs: int = 784
    classes: int = 10

    @classmethod
    def of(cls, run, dataset):
        """That of a run on a data set: a number for each pixel in, one for each class out."""
        sizes = run.width, dataset.inputs, dataset.classes
        return cls(run.depth, run.block, run.activation, *sizes)

    @property
    def hidden(self):
        """The number of hidden layers."""
        return self.depth - 1

    @property
    def batch_norm(self):
        """Whether hidden layers are batch-normalised."""
        return self.block in ("batch_norm", "batch_norm_residual")

    def adds_input(self, layer):
        """Whether hidden layer `layer` ends a residual block."""
        residual = self.block in ("residual", "batch_norm_residual")
        return residual and 2 <= layer < self.hidden and layer % 2 == 0

    def fans(self):
        """(fan_in, fan_out) of every layer, first to last."""
        widths = [self.inputs] + [self.width] * self.hidden + [self.classes]
        return list(zip(widths[:-1], widths[1:], strict=True))


class Stacked:
    """A flat buffer [R, P] with views of its parts: the parameters of R runs, or their gradients.

    weights[l] [R, in, out], biases[l] [R, 1, out]; with batch norm gammas[l], betas[l]
    [R, 1, width].
    """

    def __init__(self, architecture, flat):
        self.flat = flat
        self.weights, self.biases, self.gammas, self.betas = [], [], [], []
        runs, start = len(flat), 0

        def part(*shape):
            nonlocal start
            size = torch.Size(shape).numel()
            view = flat[:, start : start + size].view(runs, *shape)
            start += size
            return view

        for layer, (fan_in, fan_out) in enumerate(architecture.fans()):
            self.weights.append(part(fan_in, fan_out))
            self.biases.append(part(1, fan_out))
            if architecture.batch_norm and layer < architecture.hidden:
                self.gammas.append(part(1, fan_out))
                self.betas.append(part(1, fan_out))

    @staticmethod
    def row_length(architecture):
        """P, padded."""
        size = sum((fan_in + 1) * fan_out for fan_in, fan_out in architecture.fans())
        if architecture.batch_norm:
            size += 2 * architecture.hidden * architecture.width
        return -(-size // ROW_MULTIPLE) * ROW_MULTIPLE


class Buffers:
    """Tensors for one batch of B images through R networks, reused at every step.

    Runs of one group see the same images and share them: group[r] says which of the S batches
    x [S, B, inputs] run r sees, and inputs[r] [B, inputs] is that batch.
    """

    def __init__(self, architecture, group, batch, dtype=torch.float32, device="cpu"):
        runs, groups = len(group), max(group) + 1

        def buffer(*shape):
            return torch.empty(runs, *shape, dtype=dtype, device=device)

        self.group = list(group)
        self.x = torch.empty(groups, batch, architecture.inputs, dtype=dtype, device=device)
        self.inputs = [self.x[g] for g in group]
        self.z = [buffer(batch, architecture.width) for _ in range(architecture.hidden)]
        self.u = [None] * architecture.hidden  # what f gets; y itself where f works in place
        self.y = [None] * architecture.hidden
        if architecture.batch_norm:
            layers, row = architecture.hidden, (1, architecture.width)
            self.normalised = [buffer(batch, architecture.width) for _ in range(layers)]
            self.product = buffer(batch, architecture.width)
            # Of every layer's z: mean, variance + eps, 1/deviation, γ/deviation.
            self.mean, self.var, self.inverse, self.scale = (
                torch.empty(layers, runs, *row, dtype=dtype, device=device) for _ in range(4)
            )
            self.sums = buffer(*row)
            self.ones, self.average = (buffer(1, batch).fill_(value) for value in (1, 1 / batch))
            self.eps = buffer(*row).fill_(BN_EPS)
        # Classes before images, so that the softmax reduces along vectors and not within them:
        # ten times faster than along a last axis of ten.
        self.logits = buffer(architecture.classes, batch)
        self.delta = buffer(architecture.classes, batch)
        self.minus_one = torch.full((), -1.0, dtype=dtype, device=device)
        self.deltas = [buffer(batch, architecture.width) for _ in range(2)]


class Network:
    """R networks of one architecture: parameters, gradients and batch norm's running statistics."""

    def __init__(self, architecture, flat, running_mean=None, running_var=None):
        self.architecture = architecture
        self.activation = ACTIVATIONS[architecture.activation]
        self.parameters = Stacked(architecture, flat)
        self.gradients = Stacked(architecture, torch.zeros_like(flat))
        if architecture.batch_norm and running_mean is None:
            shape = (architecture.hidden, len(flat), 1, architecture.width)
            running_mean = torch.zeros(shape, dtype=flat.dtype, device=flat.device)
            running_var = torch.ones_like(running_mean)
        self.running_mean, self.running_var = running_mean, running_var
        self.first_gradients = self.gradients.weights[0].unbind()

    @classmethod
    def initial(cls, architecture, starts, dtype=torch.float32, device="cpu"):
        """Networks at their start; `starts` lists (init level, seed), one a run. Biases 0, γ 1."""
        flat = torch.zeros(len(starts), Stacked.row_length(architecture), dtype=dtype)
        views = Stacked(architecture, flat)
        for run, (init, seed) in enumerate(starts):
            for layer, (fan_in, fan_out) in enumerate(architecture.fans()):
                weights = initial_weights(init, seed, layer, fan_in, fan_out)
                views.weights[layer][run].copy_(weights)
        for gamma in views.gammas:
            gamma.fill_(1)
        return cls(architecture, flat.to(device))

    def keep(self, rows):
        """The same networks, only the given rows of them (a list of indices)."""
        statistics = (self.running_mean, self.running_var)
        if self.running_mean is not None:
            statistics = [s[:, rows].clone() for s in statistics]
        return type(self)(self.architecture, self.parameters.flat[rows].clone(), *statistics)

    def forward(self, buffers, update_statistics=True):
        """Training-mode forward pass of buffers.x [S, B, inputs].

        Fills buffers.y, a list of [R, B, width], and returns buffers.logits [R, classes, B].
        `update_statistics=False` leaves batch norm's running averages alone (for probes).
        """
        p, h = self.parameters, None
        for layer, z in enumerate(buffers.z):
            if layer:
                torch.baddbmm(p.biases[layer], h, p.weights[layer], out=z)
            else:
                self._first_forward(buffers, z)
            u = z
            if self.architecture.batch_norm:
                u = self._normalise(buffers, layer)
            if self.architecture.adds_input(layer):
                u = u.add_(buffers.y[layer - 2])
            buffers.u[layer] = u
            h = buffers.y[layer] = self.activation.forward(u)
        if self.architecture.batch_norm and update_statistics:
            self._update_statistics(buffers)
        return torch.baddbmm(p.biases[-1].mT, p.weights[-1].mT, h.mT, out=buffers.logits)

    def _first_forward(self, buffers, z):
        """The first layer's z [R, B, width]: the runs of a group share their images."""
        p = self.parameters
        for x, w, b, out in zip(buffers.inputs, p.weights[0], p.biases[0], z, strict=True):
            torch.addmm(b, x, w, out=out)

    def _normalise(self, buffers, layer):
        """γ (z - mean)/√(var + eps) + β over each batch (Ioffe & Szegedy 2015, algorithm 1).

        z becomes z - mean, which the backward pass needs.
        """
        b, p, z = buffers, self.parameters, buffers.z[layer]
        self._centre(b, layer)
        inverse = torch.rsqrt(b.var[layer], out=b.inverse[layer])
        scale = torch.mul(inverse, p.gammas[layer], out=b.scale[layer])
        return torch.addcmul(p.betas[layer], z, scale, out=b.normalised[layer])

    def _centre(self, buffers, layer):
        """Subtract each batch's mean from z; fills the layer's mean and var (with eps added).

        Means over the batch are products with a row of 1/B, five times as fast as a reduction over
        the middle axis.
        """
        b, z = buffers, buffers.z[layer]
        z.sub_(torch.bmm(b.average, z, out=b.mean[layer]))
        torch.baddbmm(b.eps, b.average, torch.mul(z, z, out=b.product), out=b.var[layer])

    def _sum_over_batch(self, buffers, x, out):
        """x [R, B, width] summed over each batch, into `out` [R, 1, width]; returns it."""
        return torch.bmm(buffers.ones, x, out=out)

    def _update_statistics(self, buffers):
        """Running averages of all layers, as PyTorch makes them (the variance unbiased)."""
        batch = buffers.z[0].shape[1]
        self.running_mean.lerp_(buffers.mean, BN_MOMENTUM)
        unbiased = buffers.var.sub_(BN_EPS).mul_(batch / (batch - 1))
        self.running_var.lerp_(unbiased, BN_MOMENTUM)

    def backward(self, buffers, finished=lambda run: None):
        """Gradients of the loss from buffers.delta, its gradient by the logits [R, classes, B].

        Fills self.gradients. `finished(run)` is called once a run's gradient is complete, while the
        first layer's, most of it in a small network, is still in the cache.
        The bias in front of batch norm has no influence: its gradient is 0.
        """
        g, delta = self.gradients, buffers.delta.mT
        torch.bmm(buffers.y[-1].mT, delta, out=g.weights[-1])
        torch.sum(delta, 1, keepdim=True, out=g.biases[-1])
        for layer, delta in self._deltas(buffers):
            if not self.architecture.batch_norm:
                torch.sum(delta, 1, keepdim=True, out=g.biases[layer])
            if layer:
                torch.bmm(buffers.y[layer - 1].mT, delta, out=g.weights[layer])
        self._first_gradient(buffers, delta, finished)

    def _first_gradient(self, buffers, delta, finished):
        """The gradient of the first layer's weights, from that by its z [R, B, width]."""
        runs = zip(buffers.inputs, delta, self.first_gradients, strict=True)
        for run, (x, d, out) in enumerate(runs):
            torch.mm(x.T, d, out=out)
            finished(run)

    def rate_column(self, learning_rates):
        """The runs' learning rates as `descend` wants them: [R, 1, 1]."""
        flat = self.parameters.flat
        rates = [float(rate) for rate in learning_rates]
        return torch.tensor(rates, dtype=flat.dtype, device=flat.device).view(-1, 1, 1)

    def descend(self, buffers, learning_rates, column):
        """Backward pass and plain gradient descent in one, a rate for each run.

        `learning_rates` is a list of R floats, `column` the same as a tensor (rate_column).
        θ ← θ - η g goes into the product that would have made g: the weights' gradients are never
        stored, which is 1.1 times as fast at 2 layers.
        """
        p, g = self.parameters, self.gradients

        def update(layer, delta):
            self._descend_weights(layer, buffers, delta, learning_rates)
            if layer == self.architecture.hidden or not self.architecture.batch_norm:
                p.biases[layer].addcmul_(delta.sum(1, keepdim=True), column, value=-1)
            else:
                p.gammas[layer].addcmul_(g.gammas[layer], column, value=-1)
                p.betas[layer].addcmul_(g.betas[layer], column, value=-1)

        for layer, delta in self._deltas(buffers):
            if layer == self.architecture.hidden - 1:
                update(layer + 1, buffers.delta.mT)
            update(layer, delta)

    def _descend_weights(self, layer, buffers, delta, learning_rates):
        """W ← W - η hᵀδ: h is the layer below, δ [R, B, out] the gradient by the layer's z."""
        below = buffers.y[layer - 1] if layer else buffers.inputs
        weights = self.parameters.weights[layer]
        for w, h, d, rate in zip(weights, below, delta, learning_rates, strict=True):
            w.addmm_(h.T, d, alpha=-float(rate))

    def _deltas(self, buffers):
        """Gradients by each hidden layer's z, last layer first, as (layer, [R, B, width]).

        Yields each one after it has been sent through the layer's weights, so that these may be
        changed at once.
        """
        p, carried = self.parameters, False
        delta = torch.bmm(buffers.delta.mT, p.weights[-1].mT, out=buffers.deltas[0])
        for layer in reversed(range(self.architecture.hidden)):
            delta = self.activation.pull_back(delta, buffers.y[layer], buffers.u[layer])
            if self.architecture.batch_norm:
                delta = self._normalise_backward(buffers, layer, delta)
            here = delta
            if layer:
                delta = buffers.deltas[(self.architecture.hidden - layer) % 2]
                if carried:  # it holds the gradient of the block's sum, which goes to its input too
                    delta.baddbmm_(here, p.weights[layer].mT)
                else:
                    torch.bmm(here, p.weights[layer].mT, out=delta)
                carried = self.architecture.adds_input(layer)
            yield layer, here

    def _normalise_backward(self, buffers, layer, delta):
        """Gradient by z (Ioffe & Szegedy 2015, section 3), from that by BN(z).

        With x̂ = (z - mean)/√(var + eps): γ/√(var + eps) · (δ - Σδ/B - x̂ Σ(δ x̂)/B). The sums, over
        the batch, are the gradients by β and γ.
        """
        b, g, share = buffers, self.gradients, -1 / delta.shape[1]
        centred, inverse = b.z[layer], b.inverse[layer]
        product = torch.mul(delta, centred, out=b.product)
        sums = self._sum_over_batch(b, product, out=b.sums)
        gamma = torch.mul(sums, inverse, out=g.gammas[layer])
        beta = self._sum_over_batch(b, delta, out=g.betas[layer])
        result = torch.add(delta, beta, alpha=share, out=b.product)
        result.addcmul_(centred, torch.mul(gamma, inverse, out=sums), value=share)
        return result.mul_(b.scale[layer])

    def predict(self, x):
        """Evaluation-mode logits [R, classes, N] of images x [N, inputs], the same for all runs."""
        p, h = self.parameters, x.expand(len(self.parameters.flat), *x.shape)
        outputs = []
        for layer in range(self.architecture.hidden):
            u = torch.baddbmm(p.biases[layer], h, p.weights[layer])
            if self.architecture.batch_norm:
                # (z - mean)/√(var + eps) · γ + β as one scale and one shift.
                scale = p.gammas[layer] * (self.running_var[layer] + BN_EPS).rsqrt()
                shift = torch.addcmul(p.betas[layer], self.running_mean[layer], scale, value=-1)
                u = torch.addcmul(shift, u, scale)
            if self.architecture.adds_input(layer):
                u = u.add_(outputs[layer - 2])
            h = self.activation.forward(u)
            outputs.append(h)
            if layer >= 2:
                outputs[layer - 2] = None
        return torch.baddbmm(p.biases[-1].mT, p.weights[-1].mT, h.mT)


def cross_entropy(buffers, targets):
    """Softmax and cross-entropy of buffers.logits [R, classes, B] for every run.

    targets int64 [R, 1, B]. Fills buffers.delta = (softmax - one-hot)/B, the gradient of the mean
    loss. Returns the log-probability of each target and the class that each network answers, both
    [R, 1, B]; from these `score` makes losses and counts whenever it suits.
    """
    logits, delta = buffers.logits, buffers.delta
    logarithms = torch.log_softmax(logits, 1)
    torch.exp(logarithms, out=delta)
    delta.scatter_add_(1, targets, buffers.minus_one.expand(targets.shape))
    delta.div_(logits.shape[2])
    return logarithms.gather(1, targets), logits.max(1, keepdim=True).indices


def score(picked, answers, targets):
    """Loss (nats, mean over the batch) and count of correct answers of each run: two [R].

    `picked` and `answers` are from `cross_entropy`. A tie counts for the first class.
    """
    return mean_loss(picked), (answers == targets).sum((1, 2))


def mean_loss(picked):
    """The loss (nats) of each run, [R], from log-probabilities [R, 1, B]."""
    return picked.mean((1, 2)).neg_()
