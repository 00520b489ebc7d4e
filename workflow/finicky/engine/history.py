"""What is recorded of a run: its losses, evaluations and probes, and how it ended."""

import math
import operator
from functools import reduce

LARGE = 1000  # a loss this many times its start counts as large


class History:
    """What one run has shown so far."""

    def __init__(self, batches):
        self.batches = batches  # in an epoch
        self.start_loss = None
        self.first = {"large": None, "inf": None, "nan": None}
        self.steps = 0
        self.curves = []
        self.layers = []
        self._new_epoch()

    def _new_epoch(self):
        self.loss_sum, self.correct = 0.0, 0

    @property
    def ended(self):
        """Whether the loss is NaN: nothing can bring the run back."""
        return self.first["nan"] is not None

    @property
    def outcome(self):
        """The worst that happened: nan, inf, large or finite."""
        return next((kind for kind in ("nan", "inf", "large") if self.first[kind]), "finite")

    def add_steps(self, losses, correct):
        """Take in the batch losses and counts of correct answers of the latest steps."""
        if self.start_loss is None:
            self.start_loss = losses[0]
        # One addition after the other: sum() rounds otherwise from Python 3.12 on.
        self.loss_sum = reduce(operator.add, losses, self.loss_sum)
        limit = LARGE * self.start_loss
        if not all(map(math.isfinite, losses)) or max(losses) > limit:
            self._note_large(losses, limit)
        self.steps += len(losses)
        self.correct += sum(correct)

    def _note_large(self, losses, limit):
        for step, loss in enumerate(losses, self.steps + 1):
            if math.isnan(loss):
                kind = "nan"
            elif math.isinf(loss):
                kind = "inf"
            elif loss > limit:
                kind = "large"
            else:
                continue
            if self.first[kind] is None:
                self.first[kind] = step

    def end_epoch(self, epoch, images, evaluations):
        """Close an epoch; `evaluations` maps a split to (loss, accuracy).

        A split that was not evaluated has no numbers in this epoch's row; after the run's end none
        has.
        """
        row = {"epoch": epoch, "running_loss": None, "running_accuracy": None}
        if not self.ended:
            row["running_loss"] = finite(self.loss_sum / self.batches)
            row["running_accuracy"] = 100 * self.correct / images
        if any(math.isnan(loss) for loss, _ in evaluations.values()):
            # The epoch's last update broke the network: the next loss would have been NaN.
            self.first["nan"] = self.steps + 1
            evaluations = {}
        for split in ("train", "validation", "test"):
            loss, accuracy = evaluations.get(split, (None, None))
            row |= {f"{split}_loss": finite(loss), f"{split}_accuracy": accuracy}
        self.curves.append(row)
        self._new_epoch()

    def fill(self, epochs, images):
        """Add rows without numbers for the epochs that the run did not live to see."""
        for epoch in range(len(self.curves) + 1, epochs + 1):
            self.end_epoch(epoch, images, {})

    def add_layers(self, epoch, internals):
        """Take in what a probe found (probes.probe) at the end of `epoch`, 0 for the start."""
        for layer, values in enumerate(zip(*internals.values(), strict=True), 1):
            named = dict(zip(internals, map(finite, values), strict=True))
            self.layers.append({"epoch": epoch, "layer": layer, **named})

    def record(self):
        """The run's result as plain Python; everything not finite is None."""
        return {
            "outcome": self.outcome,
            **{f"{kind}_step": step for kind, step in self.first.items()},
            "start_loss": finite(self.start_loss),
            "curves": self.curves,
            "layers": self.layers,
        }


def finite(value):
    """The value, or None where it is missing, infinite or NaN."""
    return value if value is not None and math.isfinite(value) else None
