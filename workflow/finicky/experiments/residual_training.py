"""Trainings of stacked networks at ladders of learning rates, with weight decay in the loss."""

from functools import partial

from finicky.experiments import arms, stacked


def trained(build, dataset, seeds, rates, optimizer, images, epochs, decays=None, **recipe):
    """Train replicas of a network, one for each seed and rate, in that order; build(seeds) makes
    them. decays: λ of each replica's λΣW²; recipe: what else a stacked.Recipe takes.

    Returns the network and one row per replica: optimizer, learning_rate, seed, accuracies and
    outcome.
    """
    network = build(seeds)
    if decays:
        recipe["on_gradients"] = partial(decay, network, decays)
    recipe = stacked.Recipe(seeds, rates, images, epochs, optimizer, **recipe)
    stacked.train(network, dataset, recipe)
    scores = {
        f"{name}_accuracy": [accuracy for _, accuracy in stacked.scores(network, dataset, split)]
        for name, split in (("validation", dataset.validation), ("test", dataset.test))
    }
    rows = arms.of_replicas(stacked.finite(network).tolist(), **scores)
    levels = [
        {"optimizer": optimizer, "learning_rate": rate, "seed": seed}
        for rate, seed in zip(rates, seeds, strict=True)
    ]
    return network, [a | b for a, b in zip(levels, rows, strict=True)]


def at_ladder(build, dataset, optimizer, ladder, seeds, images, epochs, **recipe):
    """`trained` for every seed at every rate of a ladder."""
    every = [seed for _ in ladder for seed in seeds]
    rates = [rate for rate in ladder for _ in seeds]
    return trained(build, dataset, every, rates, optimizer, images, epochs, **recipe)


def decay(network, decays, parameters):
    """Add the gradient of λΣW², 2λW, to those of the weights; decays: λ of each replica."""
    for layer in network.modules():
        if isinstance(layer, stacked.Dense | stacked.Convolution):
            twice = 2 * layer.weight.new_tensor(decays)
            shape = (-1,) + (1,) * (layer.weight.dim() - 1)
            layer.weight.grad.addcmul_(layer.weight.detach(), twice.view(shape))
