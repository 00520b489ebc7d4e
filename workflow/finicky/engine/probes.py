"""Probes: what happens inside the layers, measured without touching the training.

A probe sends one fixed batch of images through the networks in training mode and back, with its own
buffers and without updating batch norm's running averages. It overwrites the gradients, as the next
training step does anyway, so a probed run keeps its bits.
"""

import torch

from finicky.engine.network import Buffers, cross_entropy

PROBE_IMAGES = 128
# A derivative below 1 % of the activation's steepest counts as none.
FLAT = 0.01


def variance(x):
    """Variance of each run's values, x [R, ...]: [R].

    Not by Tensor.var, whose sums run in another order, to other bits, if there is only one run.
    """
    return (x - x.mean((1, 2), keepdim=True)).square_().mean((1, 2))


def probe(network, images, targets):
    """Internals of R networks on images [N, inputs], targets int64 [N] or each network's own
    [R, 1, N]: one dict a run.

    Each dict has lists over the layers 1 … depth: `activation_mean` and `activation_variance` (over
    images and units; the last layer's are the logits'), `gradient_norm` (Euclidean, of the weight
    matrix), `dead_share` (units whose derivative is flat for every image) and `saturated_share`
    (unit-image pairs where it is flat); the last two are None for the linear output layer.
    """
    return by_run(statistics(network, images, targets))


def statistics(network, images, targets):
    """What `probe` finds, as tensors on the networks' device.

    {name: [R, depth]}, of the shares [R, depth - 1].
    """
    architecture, runs = network.architecture, len(network.parameters.flat)
    dtype, device = images.dtype, images.device
    buffers = Buffers(architecture, [0] * runs, len(images), dtype, device)
    buffers.x[0] = images
    network.forward(buffers, update_statistics=False)
    cross_entropy(buffers, targets.expand(runs, 1, -1))

    threshold = FLAT * network.activation.steepest()
    means, variances, dead, saturated = [], [], [], []
    for y, u in zip(buffers.y, buffers.u, strict=True):
        flat = network.activation.slope(y, u).abs_() < threshold
        means.append(y.mean((1, 2)))
        variances.append(variance(y))
        dead.append(flat.all(1).to(dtype).mean(1))
        saturated.append(flat.to(dtype).mean((1, 2)))
    means.append(buffers.logits.mean((1, 2)))
    variances.append(variance(buffers.logits))
    network.backward(buffers)
    norms = [g.flatten(1).norm(dim=1) for g in network.gradients.weights]
    columns = {
        "activation_mean": means,
        "activation_variance": variances,
        "gradient_norm": norms,
        "dead_share": dead,
        "saturated_share": saturated,
    }
    return {name: torch.stack(of_layers, 1) for name, of_layers in columns.items()}


def by_run(tensors):
    """The tensors of `statistics` as one dict a run, as described in `probe`."""
    columns = {name: tensor.tolist() for name, tensor in tensors.items()}
    for name in "dead_share", "saturated_share":
        columns[name] = [[*of_layers, None] for of_layers in columns[name]]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
