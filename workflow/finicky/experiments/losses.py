"""Why these losses? Cross-entropy, squared error and absolute error against what is said of them.

Cross-entropy is compared with the likelihood, with the KL divergence, and with other scoring rules,
one property at a time; squared error with the Gaussian likelihood; and regressions with outliers of
four kinds are fitted by both losses exactly.

A scoring rule is a function from predicted probabilities [..., K] to the loss of each label,
[..., K].
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
from scipy import linalg, optimize, special, stats

from finicky.experiments import identities, tidy

TITLE = "Losses and scoring rules"
READS = []
SETTINGS = {
    # with fewer, a rule may pass by luck as having a property
    "trials": (
        {"type": "integer", "minimum": 10, "maximum": 10000000},
        "random cases of each identity and property, per seed",
    ),
    "data_sets": ("count", "regressions per seed and condition"),
    # of 200 examples: at least one, at most half
    "share": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "number", "minimum": 0.5, "maximum": 50}},
        "shares of outliers in %",
    ),
}  # fmt: skip
QUANTITIES = {
    "minimiser_error": ("", "largest relative error: minimum of expected cross-entropy, truth"),
    "pinsker_shortfall": ("", "by how much a prediction costs less than Pinsker's bound demands, "
                          "over its cross-entropy; 0 if none does"),
    "only_one": ("0/1", "whether cross-entropy alone has all three properties"),
    "properties": ("of 3", "properties that a scoring rule has"),
    "free_dimensions": ("", "dimensions of the local losses that can be proper, as the solutions "
                        "of linear equations on a grid"),
    "likelihood_error": ("", "largest relative error: n × cross-entropy, −log likelihood"),
    "likelihood_fit_error": ("", "largest relative error: weight of least cross-entropy, of "
                             "largest likelihood"),
    "kl_error": ("", "largest relative error: cross-entropy, entropy + KL divergence"),
    "kl_at_truth": ("nats", "largest cross-entropy minus entropy, the prediction being the truth"),
    "kl_asymmetry": ("", "difference of KL(p‖q) and KL(q‖p) over their mean, median"),
    "gaussian_error": ("", "largest relative error: scaled squared error, Gaussian −log density"),
    "gaussian_fit_error": ("", "largest relative error: least squares, best Gaussian likelihood"),
    "unequal_noise_fit_error": ("", "the same where σ differs between examples, median"),
    "error_saved": ("%", "by how much the error is smaller with absolute than with squared error"),
}  # fmt: skip
CONDITIONS = {
    "reading": ["strict", "loose"],
    "loss": ["logarithmic", "brier", "spherical", "linear", "log_spherical", "renyi"],
    "classes": "integer",
    "outliers": ["none", "targets", "targets of one sign", "inputs", "genuine"],
    "share": "number",
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = []
    for seed in settings["seeds"]:
        random = np.random.default_rng(seed)
        found = [
            *propriety(random, settings["trials"]),
            *uniqueness(random, settings["trials"]),
            *likelihood(random, settings["trials"]),
            *gaussian(random, settings["trials"]),
            *outliers(random, settings["data_sets"], settings["share"]),
        ]
        rows += [
            {"quantity": quantity, "seed": seed, "value": value, **where}
            for quantity, value, where in found
        ]
    return tidy.from_rows(rows, CONDITIONS)


# ---- Scoring rules and their properties ---------------------------------------------------------


def logarithmic(q):
    """−log q(y): cross-entropy."""
    return -np.log(q)


def brier(q):
    """Σ (q − e_y)² (Brier 1950)."""
    return 1 + (q**2).sum(-1, keepdims=True) - 2 * q


def spherical(q):
    """1 − q(y)/‖q‖ (Gneiting and Raftery 2007, section 3)."""
    return 1 - q / np.sqrt((q**2).sum(-1, keepdims=True))


def linear(q):
    """1 − q(y), the probability of an error if one guesses by q."""
    return 1 - q


def log_spherical(q):
    """−log (q(y)/‖q‖): additive, since norms of independent events multiply."""
    return -np.log(q) + np.log((q**2).sum(-1, keepdims=True)) / 2


def renyi(q):
    """The proper score of Rényi's entropy of order ½, H(q) = 2 log Σ√q: its tangent plane at q,
    H(q) + q(y)^−½/Σ√q − 1 (Gneiting and Raftery 2007, theorem 1)."""
    total = np.sqrt(q).sum(-1, keepdims=True)
    return 2 * np.log(total) + 1 / (np.sqrt(q) * total) - 1


SCORES = [logarithmic, brier, spherical, linear, log_spherical, renyi]
READINGS = ["strict", "loose"]
SAME = 1e-9  # losses of order 1 that differ by less are called equal


def surprises(score, random, reading: str, trials: int) -> bool:
    """Whether the loss measures surprise.

    strict: it is a falling function of q(y) alone; loose: of two labels, the one that was less
    expected costs more.
    """
    for _ in range(trials):
        q = random.dirichlet(np.ones(random.integers(3, 7)))
        losses = score(q)
        if (np.diff(losses[np.argsort(q)]) > SAME).any():
            return False
        if reading == "strict":
            other = random.dirichlet(np.ones(len(q) - 1)) * (1 - q[0])
            if abs(score(np.array([q[0], *other]))[0] - losses[0]) > SAME:
                return False
    return True


def strictly_proper(score, random, reading: str, trials: int) -> bool:
    """Whether the truth costs less than every other prediction tried, far or near."""
    for _ in range(trials):
        p, q = random.dirichlet(np.ones(random.integers(3, 7)), 2)
        near = special.softmax(np.log(p) + 1e-3 * random.standard_normal(len(p)))
        if min(p @ score(q), p @ score(near)) <= p @ score(p):
            return False
    return True


def additive(score, random, reading: str, trials: int) -> bool:
    """Whether the losses of independent events add.

    strict: for every pair of outcomes; loose: on average, if the prediction is honest.
    """
    for _ in range(trials):
        q, r = (random.dirichlet(np.ones(random.integers(2, 5))) for _ in range(2))
        both = np.outer(q, r)
        apart = score(both.ravel()).reshape(both.shape) - (score(q)[:, None] + score(r))
        if reading == "loose":
            apart = (both * apart).sum()
        if np.abs(apart).max() > SAME:
            return False
    return True


PROPERTIES = [surprises, strictly_proper, additive]


def uniqueness(random, trials: int):
    """Yields what is left of "the unique loss" by reading, and how many properties each rule has.

    In the strict reading it also takes that the equations of a proper local loss have one solution,
    the derivative of −log.
    """
    for reading in READINGS:
        counts = {
            score.__name__: sum(has(score, random, reading, trials) for has in PROPERTIES)
            for score in SCORES
        }
        for name, count in counts.items():
            yield "properties", count, {"loss": name, "reading": reading}
        alone = [name for name, count in counts.items() if count == len(PROPERTIES)]
        unique = alone == ["logarithmic"] and (reading == "loose" or only_logarithm())
        yield "only_one", float(unique), {"reading": reading}
    for classes in (2, 3, 4):
        yield "free_dimensions", proper_local_losses(classes)[1].shape[1], {"classes": classes}


GRID = 16


def proper_local_losses(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives f' of the local losses f(q(y)) that can be proper: probabilities k/GRID and a
    basis [k, dimensions].

    If truth p is to be a minimum of Σ p f(q) among predictions that sum to 1, p f'(p) has to be the
    same for all its entries (Lagrange): one equation for each two that can stand in one prediction.
    """
    entries = range(1, GRID - classes + 2)  # the others are at least 1/GRID each
    q = np.array(entries) / GRID
    rest = range(1, GRID) if classes > 2 else [0]
    equations = [np.zeros(len(q))]
    for i, j in itertools.combinations(range(len(q)), 2):
        left = GRID - entries[i] - entries[j]
        if left in rest and left >= classes - 2:
            equation = np.zeros(len(q))
            equation[i], equation[j] = q[i], -q[j]
            equations.append(equation)
    return q, linalg.null_space(np.array(equations))


def only_logarithm() -> bool:
    """Whether, with three classes, f' is a multiple of 1/q: f is −c log q plus a constant, and the
    constant is no loss of independent events, since it would not add."""
    q, solutions = proper_local_losses(3)
    if solutions.shape[1] != 1:
        return False
    inverse = solutions[:, 0] * q
    return identities.relative_error(inverse, np.full_like(q, inverse.mean())) < SAME


# ---- Cross-entropy ------------------------------------------------------------------------------


def propriety(random, trials: int):
    """Yields (quantity, largest error, {}) of the two parts of "strictly proper"."""
    errors, shortfalls = [], []
    for trial in range(trials):
        classes = int(random.integers(2, 9))
        if trial % 10 == 0:  # a search takes as long as a hundred evaluations
            p = random.dirichlet(np.ones(classes))
            errors.append(identities.relative_error(cheapest(logarithmic, p), p))
        classes = int(random.choice([2, 3, 10, 1000]))
        p = random.dirichlet(np.full(classes, random.choice([0.1, 1.0, 10.0])))
        if trial % 3 == 0:
            p = np.eye(classes)[0]
        far = random.dirichlet(np.full(classes, random.choice([1.0, 10.0])))
        near = special.softmax(np.log(far) + 1e-3 * random.standard_normal(classes))
        shortfalls += [shortfall(p, far), shortfall(far, near)]
    yield "minimiser_error", max(errors), {}
    yield "pinsker_shortfall", max(shortfalls), {}


def cheapest(score, p) -> np.ndarray:
    """The prediction with the least expected loss where the truth is p [K], found by BFGS over
    logits with complex-step gradients."""

    def softmax(z):
        e = np.exp(z)
        return e / e.sum()

    def expected(z):
        return p @ score(softmax(z))

    found = optimize.minimize(
        expected,
        np.zeros(len(p)),
        jac=lambda z: identities.complex_step_jacobian(lambda w: expected(w)[None], z)[0],
        options={"gtol": 1e-11},
    )
    return softmax(found.x)


def shortfall(p, q) -> float:
    """How far E_p[−log q] − E_p[−log p] lies below ½‖p − q‖₁², over E_p[−log q]; 0 if it does not
    (Pinsker; Cover and Thomas 2006, lemma 11.6.1)."""
    cost = cross_entropy(p, q)
    return max(0.0, 0.5 * np.abs(p - q).sum() ** 2 - (cost - cross_entropy(p, p))) / cost


def cross_entropy(p, q) -> float:
    """E_p[−log q] in nats; labels that never occur cost nothing."""
    return float(-special.xlogy(p, q).sum())


def likelihood(random, trials: int):
    """Yields (quantity, value, {}): cross-entropy as −log likelihood, and as entropy plus KL."""
    errors, fits, kls, truths, asymmetries = [], [], [], [], []
    for trial in range(trials):
        n, classes = random.integers(1, 40), int(random.integers(2, 12))
        predicted = random.dirichlet(np.ones(classes), n)
        labels = random.integers(0, classes, n)
        picked = predicted[np.arange(n), labels]
        errors.append(identities.relative_error(n * logarithmic(picked).mean(), exact_log(picked)))
        if trial % 10 == 0:
            fits.append(fit_error(random))
        p, q = random.dirichlet(np.ones(classes), 2)
        p[0] *= random.integers(0, 2)  # now and then a label that never occurs
        p /= p.sum()
        kl = special.rel_entr(p, q).sum()
        kls.append(identities.relative_error(cross_entropy(p, q), cross_entropy(p, p) + kl))
        truths.append(abs(cross_entropy(q, q) - stats.entropy(q)))
        back = special.rel_entr(q, p).sum() if p.all() else np.inf
        if np.isfinite(back):
            asymmetries.append(abs(kl - back) / ((kl + back) / 2))
    yield "likelihood_error", max(errors), {}
    yield "likelihood_fit_error", max(fits), {}
    yield "kl_error", max(kls), {}
    yield "kl_at_truth", max(truths), {}
    yield "kl_asymmetry", float(np.median(asymmetries)), {}


def exact_log(probabilities) -> float:
    """−log of a product of probabilities, the product in exact fractions: no underflow."""
    product = math.prod(map(Fraction, probabilities.tolist()))
    return math.log(product.denominator) - math.log(product.numerator)


def fit_error(random) -> float:
    """Logistic regression with one weight: the weight of least cross-entropy against the one of the
    largest likelihood, a plain product of probabilities."""
    x = np.concatenate([random.standard_normal(16), [1, 1]])
    y = np.concatenate([random.random(16) < special.expit(x[:16]), [False, True]])

    def picked(w):
        return special.expit(np.where(y, w, -w) * x)

    inside = {"bounds": (-50, 50), "method": "bounded", "options": {"xatol": 1e-10}}
    least = optimize.minimize_scalar(lambda w: logarithmic(picked(w)).mean(), **inside).x
    most = optimize.minimize_scalar(lambda w: -picked(w).prod(), **inside).x
    return abs(least - most) / max(1.0, abs(most))


# ---- Squared error ------------------------------------------------------------------------------


def gaussian(random, trials: int):
    """Yields (quantity, value, {}): squared error against the Gaussian likelihood."""
    errors, fits, unequal = [], [], []
    for trial in range(trials):
        y, predicted = 10 ** random.uniform(-2, 2) * random.standard_normal((2, 50))
        predicted[0] = y[0]
        sigma = 10 ** random.uniform(-3, 3)
        density = stats.norm.logpdf(y, predicted, sigma)
        errors.append(identities.relative_error(scaled_squares(y, predicted, sigma), -density))
        if trial % 10 == 0:
            same = np.full(50, random.uniform(0.5, 2))
            for found, sigma in ((fits, same), (unequal, random.uniform(0.2, 5, 50))):
                x = random.standard_normal((50, 3))
                y = x.sum(1) + sigma * random.standard_normal(50)
                least = linalg.lstsq(x, y)[0]
                found.append(identities.relative_error(least, likeliest(x, y, sigma)))
    yield "gaussian_error", max(errors), {}
    yield "gaussian_fit_error", max(fits), {}
    yield "unequal_noise_fit_error", float(np.median(unequal)), {}


def scaled_squares(y, predicted, sigma):
    """(y − ŷ)²/2σ² + ½ log 2πσ² (Bishop 2006, eq. 1.62)."""
    return (y - predicted) ** 2 / (2 * sigma**2) + np.log(2 * np.pi * sigma**2) / 2


def likeliest(x, y, sigma) -> np.ndarray:
    """Weights that maximise SciPy's Gaussian likelihood of y = x w + σ ε, found numerically."""

    def cost(w):
        return -stats.norm.logpdf(y, x @ w, sigma).sum()

    start = np.zeros(x.shape[1])
    return optimize.minimize(cost, start, jac="3-point", options={"gtol": 1e-8}).x


# ---- Absolute error -----------------------------------------------------------------------------

EXAMPLES, INPUTS = 200, 5
FAR = 10  # outliers are drawn at so many times the noise
OUTLIERS = ["targets", "targets of one sign", "inputs", "genuine"]


def outliers(random, data_sets: int, shares: list[float]):
    """Yields ("error_saved", %, condition) by kind and share of outliers, and without any."""
    yield "error_saved", error_saved(random, "none", 0, data_sets), {"outliers": "none", "share": 0}
    for kind, share in itertools.product(OUTLIERS, shares):
        where = {"outliers": kind, "share": share}
        yield "error_saved", error_saved(random, kind, share, data_sets), where


def error_saved(random, kind: str, share: float, data_sets: int) -> float:
    """100 (1 − error with absolute error / error with squared error), in %.

    An error is the root mean square over fresh inputs and data sets. Fresh inputs are standard
    normal, so that of weights w against the wanted w* is ‖w − w*‖, with the intercept among them.
    """
    squares = {"absolute": 0.0, "squared": 0.0}
    for _ in range(data_sets):
        x, y, wanted = data_set(random, kind, share)
        squares["absolute"] += ((least_absolute(x, y) - wanted) ** 2).sum()
        squares["squared"] += ((linalg.lstsq(x, y)[0] - wanted) ** 2).sum()
    return 100 * (1 - math.sqrt(squares["absolute"] / squares["squared"]))


def data_set(random, kind: str, share: float):
    """Inputs x [examples, 1 + inputs] with a column of ones, targets y, and the weights wanted.

    targets: wrong targets, above and below; targets of one sign: only above; inputs: right targets
    for inputs that are wrong; genuine: large targets that belong to the mean that is wanted.
    """
    x = np.concatenate([np.ones((EXAMPLES, 1)), random.standard_normal((EXAMPLES, INPUTS))], 1)
    wanted = random.standard_normal(1 + INPUTS)
    y = x @ wanted + random.standard_normal(EXAMPLES)
    far = slice(round(EXAMPLES * share / 100))
    away = FAR * random.standard_normal(y[far].shape)
    if kind == "targets":
        y[far] += away
    elif kind in ("targets of one sign", "genuine"):
        y[far] += np.abs(away)
        if kind == "genuine":  # the mean of |N(0, 1)| is √(2/π)
            wanted[0] += share / 100 * FAR * math.sqrt(2 / math.pi)
    elif kind == "inputs":
        x[far, 1:] += FAR * random.standard_normal(x[far, 1:].shape)
    return x, y, wanted


def least_absolute(x, y) -> np.ndarray:
    """Weights w that minimise Σ|y − x w|, exactly.

    The dual of its linear program: maximise y·d with xᵀd = 0 and |d| ≤ 1; w are the multipliers of
    the equations (Koenker and Bassett 1978).
    """
    solved = optimize.linprog(-y, A_eq=x.T, b_eq=np.zeros(x.shape[1]), bounds=(-1, 1))
    return -solved.eqlin.marginals
