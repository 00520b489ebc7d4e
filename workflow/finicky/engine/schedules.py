"""Learning-rate schedules: the rate of a step over the run's learning rate.

A schedule is a function `(step, steps) -> factor` of a step, counted from 0, of so many in the
whole training. It is plain arithmetic on Python's numbers: the host says each step's rate.
"""

import math

SCHEDULES = {}


def schedule(name):
    """Register a function as the schedule `name` (a level of the axis `schedule`)."""

    def register(function):
        SCHEDULES[name] = function
        return function

    return register


def rate(name, learning_rate, step, steps):
    """The learning rate of a step (from 0) of so many under the schedule `name`.

    Raises ValueError for a step that the training does not have: after the last one a schedule says
    nothing.
    """
    if not 0 <= step < steps:
        raise ValueError(f"a schedule of {steps} steps has no step {step}")
    return learning_rate * SCHEDULES[name](step, steps)


def scheduled_rates(runs, step):
    """The learning rate of each run at a step of its training, counted from 0."""
    return [rate(run.schedule, run.learning_rate, step, run.steps) for run in runs]


@schedule("constant")
def constant(step, steps):
    """1 at every step."""
    return 1.0


@schedule("step")
def step_decay(step, steps):
    """A tenth of it after each third of the steps (PyTorch's StepLR)."""
    return 0.1 ** (step // math.ceil(steps / 3))


@schedule("linear")
def linear(step, steps):
    """1 - t/T: on a line towards 0, which the step after the last would have (LinearLR)."""
    return 1 - step / steps


@schedule("cosine")
def cosine(step, steps):
    """(1 + cos(πt/T))/2 (Loshchilov & Hutter 2017, eq. 5 without restarts; CosineAnnealingLR)."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def warming(steps):
    """How many of the first steps warm up: a tenth."""
    return math.ceil(steps / 10)


@schedule("warm_up")
def warm_up(step, steps):
    """(t + 1)/w during the first w steps (Goyal et al. 2017, section 2.2), then constant."""
    return min(1.0, (step + 1) / warming(steps))


@schedule("warm_up_cosine")
def warm_up_cosine(step, steps):
    """The same warm-up, then the cosine over the remaining steps."""
    first = warming(steps)
    return warm_up(step, steps) if step < first else cosine(step - first, steps - first)
