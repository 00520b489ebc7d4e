"""Evaluation: losses and accuracies of networks on a split of the data set."""

import torch

EVALUATION_BATCH = 500


@torch.no_grad()
def evaluate(network, dataset, split):
    """(loss, accuracy in %) of each network on a split, in evaluation mode: a list of R pairs."""
    runs, device = len(network.parameters.flat), split.labels.device
    loss = torch.zeros(runs, dtype=torch.float64, device=device)
    correct = torch.zeros(runs, dtype=torch.int64, device=device)
    for picked, right in answers(network, dataset, split, EVALUATION_BATCH):
        loss -= picked.sum((1, 2), dtype=torch.float64)
        correct += right.sum((1, 2))
    return scores(loss, correct, len(split.images))


def answers(network, dataset, split, batch):
    """What each network answers to the images of a split, in evaluation mode, `batch` at a time.

    Yields the log-probability of the image's own class, and whether it is the most likely one (a
    tie counts for the first class): both [R, 1, B]. The split's labels are [N], or each network's
    own [R, 1, N].
    """
    runs, dtype = len(network.parameters.flat), network.parameters.flat.dtype
    buffer = torch.empty(batch, split.images.shape[1], dtype=dtype, device=split.images.device)
    for start in range(0, len(split.images), batch):
        pixels = split.images[start : start + batch]
        targets = split.labels[..., start : start + batch].expand(runs, 1, -1)
        logits = network.predict(dataset.normalise(pixels, buffer[: len(pixels)]))
        picked = torch.log_softmax(logits, 1).gather(1, targets)
        yield picked, logits.max(1, keepdim=True).indices == targets


def scores(loss, correct, images):
    """Summed losses and counts of correct answers [R] as (loss, accuracy in %): R pairs."""
    return [
        (total / images, 100 * right / images)
        for total, right in zip(loss.tolist(), correct.tolist(), strict=True)
    ]
