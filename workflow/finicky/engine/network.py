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

    weights[l] [R, in, out], biases[l] [R, 1, out]; with batch norm gammas[l], betas[l] [R, width].
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
                self.gammas.append(part(fan_out))
                self.betas.append(part(fan_out))

    @staticmethod
    def row_length(architecture):
        """P, padded."""
        size = sum((fan_in + 1) * fan_out for fan_in, fan_out in architecture.fans())
        if architecture.batch_norm:
            size += 2 * architecture.hidden * architecture.width
        return -(-size // ROW_MULTIPLE) * ROW_MULTIPLE


class Buffers:
    """Room for one batch of B images through R networks, reused at every step."""

    def __init__(self, architecture, runs, batch, dtype=torch.float32, device="cpu"):
        def room(*shape):
            return torch.empty(runs, batch, *shape, dtype=dtype, device=device)

        self.x = room(architecture.inputs)
        self.z = [room(architecture.width) for _ in range(architecture.hidden)]
        self.u = [
            None
        ] * architecture.hidden  # what f gets; overwritten by y where f works in place
        self.y = [None] * architecture.hidden
        self.saved = [None] * architecture.hidden  # batch norm's mean and 1/deviation, per run
        self.logits = room(architecture.classes)
        self.logarithms = room(architecture.classes)
        self.delta = room(architecture.classes)
        # Three, since a residual block carries the gradient of its sum past the two layers inside.
        self.deltas = [room(architecture.width) for _ in range(3)]


class Network:
    """R networks of one architecture: parameters, gradients and batch norm's running statistics."""

    def __init__(self, architecture, flat, running_mean=None, running_var=None):
        self.architecture = architecture
        self.activation = ACTIVATIONS[architecture.activation]
        self.parameters = Stacked(architecture, flat)
        self.gradients = Stacked(architecture, torch.zeros_like(flat))
        if architecture.batch_norm and running_mean is None:
            shape = (len(flat), architecture.hidden, architecture.width)
            running_mean = torch.zeros(shape, dtype=flat.dtype, device=flat.device)
            running_var = torch.ones_like(running_mean)
        self.running_mean, self.running_var = running_mean, running_var

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
            statistics = [s[rows].clone() for s in statistics]
        return Network(self.architecture, self.parameters.flat[rows].clone(), *statistics)

    def forward(self, buffers, update_statistics=True):
        """Training-mode forward pass of buffers.x [R, B, inputs].

        Fills buffers.y, a list of [R, B, width], and returns buffers.logits [R, B, classes].
        `update_statistics=False` leaves batch norm's running averages alone (for probes).
        """
        p, h = self.parameters, buffers.x
        for layer, z in enumerate(buffers.z):
            torch.baddbmm(p.biases[layer], h, p.weights[layer], out=z)
            u = z
            if self.architecture.batch_norm:
                u = self._normalise(buffers, layer, update_statistics)
            if self.architecture.adds_input(layer):
                u = u.add_(buffers.y[layer - 2])
            buffers.u[layer] = u
            h = buffers.y[layer] = self.activation.forward(u)
        torch.baddbmm(p.biases[-1], h, p.weights[-1], out=buffers.logits)
        return buffers.logits

    def _normalise(self, buffers, layer, update_statistics):
        # Run by run: PyTorch's kernel takes [B, C], and is several times faster than var_mean on
        # the stack.
        p, outputs, saved = self.parameters, [], []
        for run, z in enumerate(buffers.z[layer].unbind()):
            mean = variance = None
            if update_statistics:
                mean, variance = self.running_mean[run, layer], self.running_var[run, layer]
            u, *statistics = torch.native_batch_norm(
                z, p.gammas[layer][run], p.betas[layer][run], mean, variance, True,
                BN_MOMENTUM, BN_EPS,
            )  # fmt: skip
            outputs.append(u)
            saved.append(statistics)
        buffers.saved[layer] = saved
        return outputs[0].unsqueeze(0) if len(outputs) == 1 else torch.stack(outputs)

    def backward(self, buffers):
        """Gradients of the loss from buffers.delta, its gradient by the logits [R, B, classes].

        Fills self.gradients. The bias in front of batch norm has no influence: its gradient is 0.
        """
        p, g, delta = self.parameters, self.gradients, buffers.delta
        torch.bmm(buffers.y[-1].mT, delta, out=g.weights[-1])
        torch.sum(delta, 1, keepdim=True, out=g.biases[-1])
        delta = torch.bmm(delta, p.weights[-1].mT, out=buffers.deltas[0])
        carried = None
        for layer in reversed(range(self.architecture.hidden)):
            delta = self.activation.pull_back(delta, buffers.y[layer], buffers.u[layer])
            sums_input = self.architecture.adds_input(layer)
            through_sum = delta if sums_input else None
            if self.architecture.batch_norm:
                delta = self._normalise_backward(buffers, layer, delta)
            else:
                torch.sum(delta, 1, keepdim=True, out=g.biases[layer])
            below = buffers.y[layer - 1] if layer else buffers.x
            torch.bmm(below.mT, delta, out=g.weights[layer])
            if layer == 0:
                return
            room = buffers.deltas[(self.architecture.hidden - layer) % 3]
            if carried is None:
                delta = torch.bmm(delta, p.weights[layer].mT, out=room)
            else:
                delta = torch.baddbmm(carried, delta, p.weights[layer].mT, out=room)
            carried = through_sum

    def _normalise_backward(self, buffers, layer, delta):
        p, g, results = self.parameters, self.gradients, []
        for run, (z, (mean, inverse_deviation)) in enumerate(
            zip(buffers.z[layer].unbind(), buffers.saved[layer], strict=True)
        ):
            by_z, by_gamma, by_beta = torch.ops.aten.native_batch_norm_backward(
                delta[run], z, p.gammas[layer][run], None, None, mean, inverse_deviation, True,
                BN_EPS, [True, True, True],
            )  # fmt: skip
            g.gammas[layer][run] = by_gamma
            g.betas[layer][run] = by_beta
            results.append(by_z)
        return results[0].unsqueeze(0) if len(results) == 1 else torch.stack(results)

    def predict(self, x):
        """Evaluation-mode logits [R, N, classes] of images x [N, inputs], the same for all runs."""
        p, h = self.parameters, x.expand(len(self.parameters.flat), *x.shape)
        outputs = []
        for layer in range(self.architecture.hidden):
            u = torch.baddbmm(p.biases[layer], h, p.weights[layer])
            if self.architecture.batch_norm:
                # (z - mean)/√(var + eps) · γ + β as one scale and one shift.
                scale = p.gammas[layer] * (self.running_var[:, layer] + BN_EPS).rsqrt()
                shift = torch.addcmul(p.betas[layer], self.running_mean[:, layer], scale, value=-1)
                u = torch.addcmul(shift.unsqueeze(1), u, scale.unsqueeze(1))
            if self.architecture.adds_input(layer):
                u = u.add_(outputs[layer - 2])
            h = self.activation.forward(u)
            outputs.append(h)
            if layer >= 2:
                outputs[layer - 2] = None
        return torch.baddbmm(p.biases[-1], h, p.weights[-1])


def cross_entropy(buffers, targets, losses, correct):
    """Mean cross-entropy of buffers.logits and its gradient, for every run.

    targets int64 [R, B, 1]. Writes losses [R] (nats, mean over the batch), correct [R] (count) and
    buffers.delta = (softmax - one-hot)/B.
    """
    logits, batch = buffers.logits, buffers.logits.shape[1]
    torch.ops.aten._log_softmax.out(logits, -1, False, out=buffers.logarithms)
    torch.mean(buffers.logarithms.gather(2, targets), (1, 2), out=losses)
    losses.neg_()
    torch.sum(logits.argmax(2, keepdim=True) == targets, (1, 2), out=correct)
    torch.ops.aten._softmax.out(logits, -1, False, out=buffers.delta)
    minus_one = torch.full((), -1.0, dtype=logits.dtype, device=logits.device)
    buffers.delta.scatter_add_(2, targets, minus_one.expand(targets.shape))
    buffers.delta.div_(batch)
