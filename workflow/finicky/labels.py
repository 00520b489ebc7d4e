"""What a reader calls the axes and their levels, in figures, tables and sentences alike."""

from finicky.numbers import MINUS, scientific

LABELS = {
    # initialisers
    "he": "He",
    "xavier": "Xavier",
    "lecun": "LeCun",
    "uniform_fan_in": "U(±1/√n)",
    "normal_std_1": "N, σ = 1",
    "normal_std_0.001": "N, σ = 0.001",
    "normal_std_0.0001": "N, σ = 0.0001",
    "zeros": "zeros",
    # activations
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "selu": "SELU",
    "identity": "identity",
    # optimizers
    "sgd": "SGD",
    "momentum": "momentum",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "adamw": "AdamW",
    # blocks
    "plain": "plain",
    "batch_norm": "batch norm",
    "residual": "residual",
    "batch_norm_residual": "BN + residual",
    # normalisations
    "batch norm": "batch norm",
    "layer norm": "layer norm",
    "instance norm": "instance norm",
    "group norm": "group norm",
    "none": "none",
    # remedies of overfitting ("none" stands above)
    "L2": "L2",
    "dropout": "dropout",
    "early stopping": "early stopping",
    "augmentation": "augmentation",
    "all": "all four",
    # models of images, and where the objects stand in them
    "linear": "linear",
    "HOG + linear": "HOG + linear",
    "MLP": "MLP",
    "convolution": "convolution",
    "centred": "centred",
    "moved": "moved",
    "permuted": "permuted",
    # recipes of the mini project ("zeros" and "sigmoid" stand above)
    "correct": "correct",
    "rate_10": "SGD at 10",
    "rate_0.1": "SGD at 0.1",
    # points of interpolation, starts near a saddle
    "chebyshev": "Chebyshev points",
    "equispaced": "equispaced points",
    "exactly on it": "a start exactly on it",
    "beside it": "a start beside it",
    # schedules ("linear" stands above)
    "constant": "constant",
    "step": "step",
    "cosine": "cosine",
    "warm_up": "warm-up",
    "warm_up_cosine": "warm-up + cosine",
    # data sets
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
}
AXES = {"init": "initialisation", "remaining": "% of weights remaining"}


def label(level) -> str:
    """A level as people write it: a name from LABELS, a number with its thousands apart.

    level: a text, a number or a bool. A reader's own level is called by its name, with spaces for
    underscores.
    """
    if isinstance(level, bool):
        return "yes" if level else "no"
    if not isinstance(level, str):
        return _number(level)
    if level in LABELS:
        return LABELS[level]
    if level.startswith("normal_std_"):
        return f"N, σ = {float(level.removeprefix('normal_std_')):.3g}"
    return level.replace("_", " ")


def _number(level):
    """All digits of a number, unlike a measured one's; beyond Python's `g` a power of ten."""
    mantissa, _, exponent = f"{level:,.10g}".partition("e")
    mantissa = mantissa.replace("-", MINUS)
    if not exponent:
        return mantissa
    power = scientific(float(f"1e{exponent}"))
    return power if mantissa == "1" else f"{mantissa}·{power}"


def axis_label(axis: str) -> str:
    """An axis, or any column of conditions, as people write it."""
    return AXES.get(axis, axis.replace("_", " "))


def listed(names, word="and"):
    """Names in a row: `a`, `a and b`, `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last


def in_order(levels) -> list[str]:
    """Distinct names in the order of LABELS; the reader's own come last, by name."""
    return sorted(set(levels), key=place)


def place(level: str) -> tuple[int, str]:
    """Where a name stands in that order: a key to sort by."""
    known = list(LABELS)
    return known.index(level) if level in LABELS else len(known), level


def optimizer_rates(table) -> list[tuple[str, float]]:
    """The pairs of optimizer and learning rate that occur in a table's columns of these names, in
    the order of the optimizers and ascending."""
    pairs = set(zip(table["optimizer"], table["learning_rate"], strict=True))
    return sorted(pairs, key=lambda pair: (place(pair[0]), pair[1]))


def trained_by(optimizer: str, learning_rate: float) -> str:
    """An optimizer with its learning rate as people write it: "SGD at 0.01"."""
    return f"{label(optimizer)} at {label(learning_rate)}"
