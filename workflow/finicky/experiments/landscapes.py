"""Landscapes with known shape, and how many steps an update rule needs on them.

Every walk is noise-free and in float64. A rule's rate is the one of a ladder of 34 that takes it to
the goal soonest from the slowest of eight starts; the seeds' own starts are scored only. The goal
is a ten-thousandth of the error at the start, and a walk has to stay there for 100 steps.
"""

import itertools
from abc import ABC, abstractmethod

import numpy as np

from finicky.experiments.update_rules import as_written, look_ahead

GOAL = 1e-4  # of the error at the start
CLOSE = 1e-2  # of the distance at the start: the root of GOAL
STAY = 100  # steps
TUNING_STARTS = 8
BETAS = [0, 0.2, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98]
BY_CURVATURE = 2.0 ** np.arange(-6, 2.25, 0.25)  # rates times the largest curvature
BY_LENGTH = 2.0 ** np.arange(-13, 4, 0.5)  # rates of rules whose steps are lengths


# ---- Landscapes: functions of [..., dimensions] -------------------------------------------------


class Landscape(ABC):
    """A function of [..., dimensions]: its `error` [...] falls to 0 at the goal, its `gradient`
    leads there; `height` [...] is the function itself, up to a constant.

    steepest: the largest curvature on the way; flattest: the smallest at the goal, where it is
    known; horizon: steps after which a walk is given up.
    """

    steepest: float
    horizon: int

    @property
    def flattest(self):
        return self.steepest

    def height(self, theta):
        return self.error(theta)

    @abstractmethod
    def error(self, theta): ...

    @abstractmethod
    def gradient(self, theta): ...

    @abstractmethod
    def start(self, random):
        """A random start [dimensions]; random: a NumPy generator."""


class Ravine(Landscape):
    """(x²/κ + y²)/2: curvature 1/κ along the floor, 1 across. Its error is the squared distance,
    so that floor and wall count alike."""

    steepest = 1.0

    def __init__(self, condition_number):
        self.condition_number = condition_number
        self.horizon = int(5 * condition_number + 400)
        self.curvatures = np.array([1 / condition_number, 1.0])

    @property
    def flattest(self):
        return self.steepest / self.condition_number

    def height(self, theta):
        return (self.curvatures * theta**2).sum(-1) / 2

    def error(self, theta):
        return (theta**2).sum(-1)

    def gradient(self, theta):
        return self.curvatures * theta

    def start(self, random):
        return random.uniform(0.5, 1, 2) * random.choice([-1, 1], 2)


class Saddle(Landscape):
    """x²/2 - y²/2 + y⁴/4: a saddle at 0, minima at (0, ±1)."""

    steepest, horizon = 2.0, 1000

    def error(self, theta):
        x, y = theta[..., 0], theta[..., 1]
        return x**2 / 2 + (y**2 - 1) ** 2 / 4

    def gradient(self, theta):
        x, y = theta[..., 0], theta[..., 1]
        return np.stack([x, y**3 - y], -1)

    def start(self, random):
        return np.array([random.uniform(1, 1.5), 10 ** random.uniform(-3, -2)])


class Banana(Landscape):
    """(1 - x)² + 100 (y - x²)² (Rosenbrock 1960), minimum at (1, 1)."""

    steepest, horizon = 1000.0, 4000

    def error(self, theta):
        x, y = theta[..., 0], theta[..., 1]
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    def gradient(self, theta):
        x, y = theta[..., 0], theta[..., 1]
        bend = 200 * (y - x**2)
        return np.stack([-2 * (1 - x) - 2 * x * bend, bend], -1)

    def start(self, random):
        return np.array([-1.2, 1.0]) + random.uniform(-0.1, 0.1, 2)


class Kinked(Landscape):
    """Curvature 25, but 1 for x from 1 to 2: convex, and Polyak's momentum may circle on it.

    Lessard, Recht and Packard (2016, SIAM J. Optimization 26), section 4.6.
    """

    steepest, horizon = 25.0, 1000
    # rates and β that are best for quadratics of curvature 1 to 25 (the paper's table 1)
    best_for_quadratics = {
        "momentum": (1 / 9, 4 / 9),
        "nesterov": (4 / 76, (76**0.5 - 2) / (76**0.5 + 2)),
    }

    def error(self, theta):
        x = theta[..., 0]
        middle, beyond = np.clip(x - 1, 0, None), np.clip(x - 2, 0, None)
        return 12.5 * x**2 - 12 * middle**2 + 12 * beyond**2

    def gradient(self, theta):
        middle, beyond = np.clip(theta - 1, 0, None), np.clip(theta - 2, 0, None)
        return 25 * theta - 24 * middle + 24 * beyond

    def start(self, random):
        return random.uniform(3.07, 3.46, 1)


LANDSCAPES = {"ravine": Ravine(100), "saddle": Saddle(), "banana": Banana(), "kinked": Kinked()}


# ---- Walking ------------------------------------------------------------------------------------


def walk(rule, landscape, starts, rates, betas, steps):
    """Yield the positions [configurations, starts, dimensions] at the start and after each step.

    rule: one of update_rules.RULES; starts: [starts, dimensions]; rates, betas: [configurations].
    """
    theta = np.broadcast_to(starts, (len(rates), *starts.shape))
    rates, betas = (np.reshape(values, (-1, 1, 1)) for values in (rates, betas))
    state = {}
    yield theta
    for step in range(1, steps + 1):
        gradient = landscape.gradient(look_ahead(rule, theta, state, rates, betas))
        theta = as_written(rule, theta, gradient, state, step, rates, betas)
        yield theta


@np.errstate(over="ignore", invalid="ignore")  # a rate too large ends in infinity
def settled(positions, measure, share, enough=np.all):
    """Steps until `measure` of a position has come within `share` of its value at the start, to
    stay there for STAY steps or to the end.

    measure: positions [configurations, ...] -> values [configurations, ...] >= 0. Returns an array
    like values; walks that do not settle get the number of steps walked. The walk ends early when
    `enough` (np.all or np.any) configurations have settled with all their values.
    """
    for step, theta in enumerate(positions):
        values = measure(theta)
        if step == 0:
            limit = share * values
            since = np.zeros(values.shape)
        outside = ~(values <= limit)  # NaN is outside
        since[outside & (step - since <= STAY)] = step + 1
        if enough((step - since > STAY).reshape(len(since), -1).all(1)):
            break
    return np.minimum(since, step)


def steps_to_goal(rule, landscape, starts, rates, betas, enough=np.all):
    """Steps until the error is at the GOAL, [configurations, starts]; arguments as in `walk` and
    `settled`."""
    positions = walk(rule, landscape, starts, rates, betas, landscape.horizon)
    return settled(positions, landscape.error, GOAL, enough)


def tuned(rule, landscape, betas=(0.9,)):
    """The rate and β that reach the goal soonest from the slowest of TUNING_STARTS starts."""
    random = np.random.default_rng([2026, 11])
    starts = np.array([landscape.start(random) for _ in range(TUNING_STARTS)])
    rates, betas = ladder(rule, landscape, betas)
    needed = steps_to_goal(rule, landscape, starts, rates, betas, np.any)
    best = needed.max(1).argmin()
    return rates[best], betas[best]


def ladder(rule, landscape, betas):
    """All combinations of the rule's rates and these β: two arrays [configurations]."""
    if rule in ("rmsprop", "adam"):
        rates = BY_LENGTH
    else:
        best = 2 / (landscape.steepest + landscape.flattest)  # for descent on quadratics
        rates = np.append(BY_CURVATURE / landscape.steepest, best)
    return (np.array(column) for column in zip(*itertools.product(rates, betas), strict=True))


def starts_of(landscape, seeds):
    """[seeds, dimensions]: one start per seed."""
    return np.array([landscape.start(np.random.default_rng([seed, 26])) for seed in seeds])
