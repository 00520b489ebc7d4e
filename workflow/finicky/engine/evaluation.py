"""Evaluation: losses and accuracies of networks on a split of the data set."""

import torch

EVALUATION_BATCH = 500


def evaluate(network, dataset, split):
    """(loss, accuracy in %) of each network on a split, in evaluation mode: a list of R pairs."""
    return scores(*totals(network, dataset, split), len(split.labels))


@torch.no_grad()
def totals(network, dataset, split, batch=EVALUATION_BATCH):
    """Summed loss (float64) and count of correct answers of each network on a split: two [R].

    `batch` images at a time. Both stay on the networks' device.
    """
    runs, dtype = len(network.parameters.flat), network.parameters.flat.dtype
    loss = torch.zeros(runs, dtype=torch.float64, device=split.labels.device)
    correct = torch.zeros(runs, dtype=torch.int64, device=split.labels.device)
    buffer = torch.empty(batch, split.images.shape[1], dtype=dtype, device=loss.device)
    for start in range(0, len(split.labels), batch):
        pixels = split.images[start : start + batch]
        targets = split.labels[start : start + batch].expand(runs, 1, -1)
        logits = network.predict(dataset.normalise(pixels, buffer[: len(pixels)]))
        picked = torch.log_softmax(logits, 1).gather(1, targets)
        loss -= picked.sum((1, 2), dtype=torch.float64)
        correct += (logits.max(1, keepdim=True).indices == targets).sum((1, 2))
    return loss, correct


def scores(loss, correct, images):
    """`totals` of so many images as (loss, accuracy in %): a list of R pairs."""
    return [
        (total / images, 100 * right / images)
        for total, right in zip(loss.tolist(), correct.tolist(), strict=True)
    ]
