"""Does depth save neurons? The chapter's two examples, parity and (x + 1)^n, built and counted.

Each network of parity is built for n bits and run on all 2^n inputs; the expansion of (x + 1)^n is
done in whole numbers. A third question is what training finds: networks of few units, started at
random, are trained on all inputs.
"""

import math

import numpy as np
import pandas as pd
import torch
from torch import nn

from finicky.engine.train import prepare
from finicky.experiments import tidy

TITLE = "Parity and (x + 1)^n: neurons, layers and terms"
READS = []
SETTINGS = {
    # each bit more takes four times as long; up to 2 bits, 2^(n-1) units are no more than n
    "bits": (
        {"type": "integer", "minimum": 3, "maximum": 16},
        "highest n for which networks of parity are built",
    ),
    "degrees": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 2, "maximum": 5000}},
        "exponents n of (x + 1)^n",
    ),
    "trained_bits": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 2, "maximum": 14}},
        "numbers of bits whose parity is trained",
    ),
    "layers": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 1, "maximum": 100}},
        "hidden layers of the trained networks",
    ),
    "units": (
        {"type": "integer", "minimum": 1, "maximum": 4096},
        "of each of these layers",
    ),
    "starts": ("count", "random starts per seed"),
    "steps": ("steps", "of Adam"),
    "learning_rate": ("rate", "of Adam"),
}  # fmt: skip
QUANTITIES = {
    "units": ("units", "hidden units of a network that gives the parity of all 2^n inputs"),
    "hidden_layers": ("layers", "its hidden layers"),
    "needs_exponential_width": ("0/1", "0 if fewer than 2^(n-1) units in one hidden layer give the "
                                "parity of all 2^n inputs"),
    "tree_is_small": ("0/1", "1 if the tree of XORs is right on all 2^n inputs with ceil(log2 n) "
                      "hidden layers and at most 3n units"),
    "squaring_is_short": ("0/1", "1 if at most 2 log2 n multiplications give (x + 1)^n, compared "
                          "with the binomial coefficients"),
    "terms": ("terms", "terms of the expanded n-th power of 1 + the sum of the variables"),
    "terms_are_exponential": ("0/1", "0 if the expansion of (x + 1)^n has no more than n + 1 "
                              "terms"),
    "learned": ("%", "share of random starts from which training gets all 2^n inputs right"),
}  # fmt: skip
CONDITIONS = {
    "network": ["and_or", "cosine", "relus", "thresholds", "tree"],
    "bits": "integer",
    "layers": "integer",
    "degree": "integer",
    "variables": ["as many as n", "one"],
    "units": "integer",
}
BUDGET = {
    "all inputs in each of {steps} steps of Adam": [
        "learned",
    ],
}


# ---- Networks of parity: lists of (weights [in, out], biases [out]) ------------------------------


def and_or(bits):
    """One AND for each of the 2^(n-1) inputs of odd parity; the output is their OR.

    As a formula this is the disjunctive normal form, which has no shorter one (Lupanov 1961).
    """
    odd = inputs(bits)
    odd = odd[parity(odd) == 1]
    return [((2 * odd - 1).T, 0.5 - odd.sum(1)), (np.ones((len(odd), 1)), np.zeros(1))]


def thresholds(bits):
    """n units: unit k fires if at least k bits are set; with the signs +, -, +, ... their sum is
    the parity (Rumelhart, Hinton and Williams 1986, Parallel Distributed Processing 1, ch. 8)."""
    k = np.arange(1, bits + 1)
    return [(np.ones((bits, bits)), 0.5 - k), (-((-1.0) ** k)[:, None], np.zeros(1))]


def relus(bits):
    """n units: the zigzag through (0, 0), (1, 1), (2, 0), ... of the number of set bits, which
    has one kink per bit."""
    slopes = (-1.0) ** np.arange(bits) * np.where(np.arange(bits) == 0, 1, 2)
    return [(np.ones((bits, bits)), -np.arange(bits)), (slopes[:, None], np.zeros(1))]


def cosine(bits):
    """One unit: (1 - cos(pi s)) / 2 for s set bits."""
    return [(np.full((bits, 1), np.pi), np.zeros(1)), (np.array([[-0.5]]), np.array([0.5]))]


def tree(bits):
    """Pairs of XORs, ceil(log2 n) levels of them: a XOR b = relu(a + b) - 2 relu(a + b - 1).

    A value without a partner passes through one ReLU. The sums behind a level's units are part of
    the next level's weights, so a level is one hidden layer.
    """
    layers, values = [], np.eye(bits)  # the values of a level as sums of the units before it
    while values.shape[1] > 1:
        pairs, alone = divmod(values.shape[1], 2)
        join = np.kron(np.eye(pairs + alone), np.ones((2, 2)))[: values.shape[1]]
        join = join[:, : 2 * pairs + alone]
        biases = np.tile([0.0, -1.0], pairs + alone)[: join.shape[1]]
        layers.append((values @ join, biases))
        values = np.kron(np.eye(pairs + alone), [[1.0], [-2.0]])[: join.shape[1]]
    return [*layers, (values, np.zeros(1))]


def step(z):
    return (z > 0).astype(float)


def relu(z):
    return np.maximum(z, 0)


NETWORKS = {
    "and_or": (and_or, step),
    "thresholds": (thresholds, step),
    "relus": (relus, relu),
    "cosine": (cosine, np.cos),
    "tree": (tree, relu),
}


def inputs(bits):
    """All inputs of so many bits: 0 and 1, [2^bits, bits]."""
    return (np.arange(2**bits)[:, None] >> np.arange(bits) & 1).astype(float)


def parity(x):
    """1 where an odd number of bits is set, else 0: [inputs]."""
    return x.sum(1) % 2


def output(layers, activation, x):
    """A network's output [inputs] for x [inputs, bits]."""
    for weights, biases in layers[:-1]:
        x = activation(x @ weights + biases)
    weights, biases = layers[-1]
    return (x @ weights + biases)[:, 0]


def is_parity(layers, activation, bits):
    """Whether a network rounds to the parity of every one of the 2^bits inputs."""
    x = inputs(bits)
    parts = np.array_split(x, math.ceil(len(x) * units(layers) / 4_000_000))  # to spare memory
    return all((np.round(output(layers, activation, part)) == parity(part)).all() for part in parts)


def units(layers):
    """Hidden units of a network."""
    return sum(weights.shape[1] for weights, _ in layers[:-1])


# ---- Powers of x + 1 -----------------------------------------------------------------------------


def by_squaring(degree):
    """(coefficients of (x + 1)^degree in whole numbers, multiplications used), degree >= 1.

    From the highest binary digit of the exponent down: square, and multiply by x + 1 where the
    digit is 1 (Knuth, The Art of Computer Programming 2, section 4.6.3).
    """
    power, multiplications = [1, 1], 0
    for digit in f"{degree:b}"[1:]:
        power, multiplications = _product(power, power), multiplications + 1
        if digit == "1":
            power, multiplications = _product(power, [1, 1]), multiplications + 1
    return power, multiplications


def _product(a, b):
    """The product of two polynomials with non-negative whole coefficients, lowest first.

    Evaluated at a power of two beyond every coefficient, so that they stand side by side as blocks
    of digits (Kronecker substitution): one multiplication of two whole numbers, exact.
    """
    width = (sum(a) * sum(b)).bit_length()

    def packed(coefficients):
        return sum(c << (width * i) for i, c in enumerate(coefficients))

    whole, mask = packed(a) * packed(b), (1 << width) - 1
    return [whole >> (width * i) & mask for i in range(len(a) + len(b) - 1)]


# ---- What training finds -------------------------------------------------------------------------


def learned(bits, layers, settings):
    """The share (%) of random starts, for each of `bits` and each seed, that learn the parity of
    all inputs: [len(bits), seeds].

    bits: list; layers: hidden layers. ReLU, He, Adam, logistic loss. The engine trains networks of
    images and classes, so this loop is our own: all trainings are stacked; networks of fewer bits
    see zeros for the others, and their 2^n inputs several times over, which leaves the full-batch
    gradient as it is.
    """
    prepare()
    seeds, starts, most = settings["seeds"], settings["starts"], max(bits)
    sizes = [most] + [settings["units"]] * layers + [1]
    x, sign, parameters = [], [], [[] for _ in range(2 * len(sizes) - 2)]
    for n in bits:
        signed = 2 * inputs(n) - 1
        signed = np.tile(np.pad(signed, ((0, 0), (0, most - n))), (2 ** (most - n), 1))
        for seed in seeds:
            for start in range(starts):
                normal = np.random.default_rng([seed, start, n, layers]).standard_normal
                x.append(signed)
                sign.append(1 - 2 * np.tile(parity(inputs(n)), 2 ** (most - n)))
                for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
                    scale = math.sqrt(2 / (n if i == 0 else fan_in))
                    parameters[2 * i].append(scale * normal((fan_in, fan_out)))
                    parameters[2 * i + 1].append(np.zeros((1, fan_out)))

    def stacked(arrays):
        return torch.tensor(np.array(arrays), dtype=torch.float32, device=settings["device"])

    x, sign = stacked(x), stacked(sign)[..., None]
    parameters = [stacked(arrays).requires_grad_() for arrays in parameters]
    optimizer = torch.optim.Adam(parameters, lr=settings["learning_rate"])
    done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(settings["steps"]):
        h = x
        for weights, biases in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            h = torch.baddbmm(biases, h, weights).relu()
        h = torch.baddbmm(parameters[-1], h, parameters[-2])
        done |= (h * sign > 0).all(1).squeeze(1)
        if done.all():
            break
        optimizer.zero_grad()
        nn.functional.softplus(-h * sign).mean((1, 2)).sum().backward()
        optimizer.step()
    return 100 * done.view(len(bits), len(seeds), starts).float().mean(2).cpu().numpy()


# ---- The table -----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is. What is built
    depends on no seed and has the first one's number."""
    rows, first = [], settings["seeds"][0]

    def found(quantity, value, seed=first, **where):
        rows.append({"quantity": quantity, "seed": seed, "value": float(value)} | where)

    for bits in range(2, settings["bits"] + 1):
        exact = {}
        for name, (build, activation) in NETWORKS.items():
            layers = build(bits)
            if is_parity(layers, activation, bits):
                exact[name] = layers
                found("units", units(layers), network=name, bits=bits)
                found("hidden_layers", len(layers) - 1, network=name, bits=bits)
        if bits > 2:  # 2^(n-1) = n for two bits
            shallow = [units(layers) for layers in exact.values() if len(layers) == 2]
            narrowest = min(shallow, default=math.inf)
            found("needs_exponential_width", narrowest >= 2 ** (bits - 1), bits=bits)
        small = (
            "tree" in exact
            and len(exact["tree"]) - 1 == math.ceil(math.log2(bits))
            and units(exact["tree"]) <= 3 * bits
        )
        found("tree_is_small", small, bits=bits)

    for degree in settings["degrees"]:
        power, multiplications = by_squaring(degree)
        right = power == [math.comb(degree, k) for k in range(degree + 1)]
        found("squaring_is_short", right and multiplications <= 2 * math.log2(degree),
              degree=degree)  # fmt: skip
        terms = sum(c != 0 for c in power)
        found("terms", terms, degree=degree, variables="one")
        found("terms_are_exponential", terms > degree + 1, degree=degree)
        if degree <= 64:  # the number of monomials of degree at most n in n variables
            found("terms", math.comb(2 * degree, degree), degree=degree, variables="as many as n")

    for layers in settings["layers"]:
        shares = learned(settings["trained_bits"], layers, settings)
        for bits, of_seeds in zip(settings["trained_bits"], shares, strict=True):
            for seed, share in zip(settings["seeds"], of_seeds, strict=True):
                where = {"bits": bits, "layers": layers, "units": settings["units"]}
                found("learned", share, seed, **where)
    return tidy.from_rows(rows, CONDITIONS)
