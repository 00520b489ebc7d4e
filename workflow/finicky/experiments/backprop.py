"""Are the chapter's formulas of backpropagation right, and what does a backward pass cost?

The formulas are written out in NumPy as the chapter prints them, and compared with derivatives that
know nothing of them: complex steps, or PyTorch's autograd. Costs are counted, and timed against the
forward passes in between.
"""

import itertools
import statistics
import time

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from finicky.engine.train import prepare
from finicky.experiments import tidy
from finicky.experiments.identities import complex_step_jacobian, relative_error

TITLE = "Backpropagation: formulas and cost"
READS = []
ALONE = True
SETTINGS = {
    "trials": ("trials", "random cases of each identity, per seed"),
    "depth": ("depths", "layers of the networks whose backward pass is counted and timed"),
    "width": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 1, "maximum": 4096}},
        "units of their hidden layers",
    ),
    # The smallest two networks that grow have 39 and 70 parameters, and a slope needs both.
    "differences_up_to": (
        {"type": "integer", "minimum": 70, "maximum": 10000000},
        "parameters of the largest network that is differentiated by differences",
    ),
    "backward_up_to": (
        {"type": "integer", "minimum": 70, "maximum": 100000000},
        "parameters of the largest network that is differentiated by a backward pass",
    ),
    "turn": ("seconds", "for which a network is timed before the next one has its turn"),
}  # fmt: skip
QUANTITIES = {
    "output_error": ("", "largest relative error of ŷ − y"),
    "softmax_own_error": ("", "largest relative error of the softmax derivative ŷᵢ(1 − ŷᵢ)"),
    "softmax_other_error": ("", "largest relative error of the softmax derivative −ŷᵢŷₖ"),
    "weights_error": ("", "largest relative error of two layers' weight gradients"),
    "biases_error": ("", "largest relative error of two layers' bias gradients"),
    "sent_back_error": ("", "largest relative error of the gradients by a₁ and z₁"),
    "algorithm_error": ("", "largest relative error of the algorithm for L layers"),
    "example_x_error": ("", "largest relative error of y + cos x in the autodiff example"),
    "example_y_error": ("", "largest relative error of x in the autodiff example"),
    "composition_error": ("", "largest relative error of J_f(g(x)) J_g(x)"),
    "wrong_point_error": ("", "relative error of J_f(x) J_g(x), median"),
    "printed_order": ("0/1", "whether the printed order of the transposed Jacobians gives ∂L/∂f₀"),
    "printed_order_error": ("", "relative error of the printed order where its shapes fit, median"),
    "reversed_order_error": ("", "largest relative error of the reversed order"),
    "count_ratio": ("forward passes", "operations of a backward pass, matrix products counted"),
    "time_ratio": ("forward passes", "time of a backward pass"),
    "differences_cost": ("forward passes", "time of a gradient by central differences"),
    "backward_cost": ("forward passes", "time of a backward pass, networks of three layers"),
    "differences_slope": ("", "slope of log differences_cost over log parameters"),
    "backward_slope": ("", "slope of log backward_cost over log parameters"),
}
CONDITIONS = {
    "depth": "integer",
    "width": "integer",
    "layer_widths": ["different", "equal", "one"],
    "parameters": "integer",
}
IMAGES, PIXELS, CLASSES = 64, 784, 10  # of the networks that are timed


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed (for times: repetition); see QUANTITIES."""
    prepare()
    rows = []
    for seed in settings["seeds"]:
        random = np.random.default_rng(seed)
        for found in (softmax_with_loss, two_layers, all_layers, example, jacobians):
            for quantity, value in found(random, settings["trials"]):
                rows.append({"quantity": quantity, "seed": seed, "value": value})
        for widths, quantity, value in printed_order(random, settings["trials"]):
            row = {"quantity": quantity, "seed": seed, "value": value, "layer_widths": widths}
            rows.append(row)
    rows += cost_by_shape(settings)
    rows += cost_by_parameters(settings)
    return tidy.from_rows(rows, CONDITIONS)


# ---- Softmax and cross-entropy ------------------------------------------------------------------


def softmax(z):
    """Probabilities of logits [K], which may be complex."""
    e = np.exp(z - np.max(np.real(z)))
    return e / e.sum()


def by_logits(predicted, y):
    """∂L/∂z = ŷ − y."""
    return predicted - y


def softmax_own(predicted):
    """∂ŷᵢ/∂zᵢ = ŷᵢ(1 − ŷᵢ), [K]."""
    return predicted * (1 - predicted)


def softmax_other(predicted):
    """∂ŷᵢ/∂zₖ = −ŷᵢŷₖ, [K, K]; the diagonal means nothing."""
    return -np.outer(predicted, predicted)


def softmax_with_loss(random, trials: int):
    """Yields (quantity, largest relative error) of the formulas at the output."""
    output, own, other = [], [], []
    for trial in range(trials):
        classes = int(random.choice([2, 3, 10, 100] if trial else [1000]))
        z = random.uniform(-1, 1, classes)
        y = random.dirichlet(np.ones(classes)) if trial % 2 else np.eye(classes)[0]
        wide, predicted = 30 * z, softmax(5 * z)
        (gradient,) = complex_step_jacobian(lambda z, y=y: -(y @ np.log(softmax(z)))[None], wide)
        # probabilities are of order 1, their gradient may be nearly 0
        output.append(relative_error(by_logits(softmax(wide), y) + y, gradient + y))
        jacobian = complex_step_jacobian(softmax, 5 * z)
        apart = ~np.eye(classes, dtype=bool)
        own.append(relative_error(softmax_own(predicted), jacobian.diagonal()))
        other.append(relative_error(softmax_other(predicted)[apart], jacobian[apart]))
    yield "output_error", max(output)
    yield "softmax_own_error", max(own)
    yield "softmax_other_error", max(other)


# ---- The chapter's algorithm --------------------------------------------------------------------


def sigmoid(z):
    """1/(1 + e⁻ᶻ)."""
    return 1 / (1 + np.exp(-z))


# name: σ(z) and σ'(z)
ACTIVATIONS = {
    "relu": (lambda z: np.maximum(0, z), lambda z: (z > 0).astype(float)),
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "identity": (lambda z: z, np.ones_like),
}


def gradients_of_two_layers(w1, b1, w2, b2, x, y, activation: str) -> dict:
    """The chapter's summary for two layers, line by line (its lines 1627 to 1646).

    Weights [out, in], biases [out], one example x [in] with its label y [classes].
    """
    act, slope = ACTIVATIONS[activation]
    z1 = w1 @ x + b1
    a1 = act(z1)
    predicted = softmax(w2 @ a1 + b2)

    by_z2 = by_logits(predicted, y)
    by_w2, by_b2 = np.outer(by_z2, a1), by_z2
    by_a1 = w2.T @ by_z2
    by_z1 = by_a1 * slope(z1)
    by_w1, by_b1 = np.outer(by_z1, x), by_z1
    return {"w1": by_w1, "b1": by_b1, "w2": by_w2, "b2": by_b2, "a1": by_a1, "z1": by_z1}


def gradients_of_all_layers(weights, biases, activations, x, y) -> tuple[list, list]:
    """The chapter's algorithm for L layers: gradients by every layer's weights and biases.

    `activations` names those of layers 1 to L − 1; softmax follows the last.
    """
    outputs, slopes = [x], []
    for weight, bias, activation in zip(weights, biases, [*activations, "identity"], strict=True):
        act, slope = ACTIVATIONS[activation]
        z = weight @ outputs[-1] + bias
        outputs.append(act(z))
        slopes.append(slope(z))
    delta = by_logits(softmax(outputs[-1]), y)
    by_weights, by_biases = [], []
    for layer in reversed(range(len(weights))):
        by_weights.insert(0, np.outer(delta, outputs[layer]))
        by_biases.insert(0, delta)
        if layer:
            delta = (weights[layer].T @ delta) * slopes[layer - 1]
    return by_weights, by_biases


def by_autograd(weights, biases, activations, x, y) -> dict:
    """The same by PyTorch, {"weights", "biases", "z", "a": lists by layer}: z are a layer's sums,
    a its outputs, the last layer's left out."""
    parameters = [[torch.tensor(p, requires_grad=True) for p in kind] for kind in (weights, biases)]
    a, outputs, sums = torch.tensor(x), [], []
    for weight, bias, activation in zip(*parameters, [*activations, "identity"], strict=True):
        z = nn.functional.linear(a, weight, bias)
        a = z if activation == "identity" else getattr(torch, activation)(z)
        sums.append(z)
        outputs.append(a)
    loss = nn.functional.cross_entropy(outputs[-1], torch.tensor(y))
    kinds = {"weights": parameters[0], "biases": parameters[1], "z": sums[:-1], "a": outputs[:-1]}
    found = iter(torch.autograd.grad(loss, list(itertools.chain(*kinds.values()))))
    return {name: [next(found).numpy() for _ in kind] for name, kind in kinds.items()}


def random_network(random, layers: int):
    """Weights, biases of widths 1 to 12 (classes 2 to 12), an example, and its one-hot label."""
    widths = [*random.integers(1, 13, layers), int(random.integers(2, 13))]
    weights = [
        random.standard_normal((fan_out, fan_in)) / np.sqrt(fan_in)
        for fan_in, fan_out in itertools.pairwise(widths)
    ]
    # small, lest sums grow with depth until 1 − tanh² loses its digits in PyTorch
    biases = [0.3 * random.standard_normal(fan_out) for fan_out in widths[1:]]
    weights[0][0], biases[0][0] = 0, 0  # this unit's z is 0, where ReLU has a kink
    label = np.eye(widths[-1])[random.integers(widths[-1])]
    return weights, biases, random.standard_normal(widths[0]), label


def two_layers(random, trials: int):
    """Yields (quantity, largest relative error) of the chapter's lines for two layers."""
    errors = {"weights_error": [], "biases_error": [], "sent_back_error": []}
    for trial in range(trials):
        activation = ["relu", "sigmoid", "tanh"][trial % 3]
        (w1, w2), (b1, b2), x, y = random_network(random, 2)
        ours = gradients_of_two_layers(w1, b1, w2, b2, x, y, activation)
        theirs = by_autograd([w1, w2], [b1, b2], [activation], x, y)
        for quantity, names, kinds in (
            ("weights_error", ("w1", "w2"), theirs["weights"]),
            ("biases_error", ("b1", "b2"), theirs["biases"]),
            ("sent_back_error", ("a1", "z1"), theirs["a"] + theirs["z"]),
        ):
            for name, expected in zip(names, kinds, strict=True):
                errors[quantity].append(relative_error(ours[name], expected))
    for quantity, found in errors.items():
        yield quantity, max(found)


def all_layers(random, trials: int):
    """Yields (quantity, largest relative error) of the algorithm for 1 to 12 layers."""
    errors = []
    for _ in range(trials):
        layers = int(random.integers(1, 13))
        weights, biases, x, y = random_network(random, layers)
        activations = random.choice(list(ACTIVATIONS), layers - 1).tolist()
        by_weights, by_biases = gradients_of_all_layers(weights, biases, activations, x, y)
        theirs = by_autograd(weights, biases, activations, x, y)
        expected = theirs["weights"] + theirs["biases"]
        errors += map(relative_error, by_weights + by_biases, expected)
    yield "algorithm_error", max(errors)


# ---- Autodiff and Jacobians ---------------------------------------------------------------------


def example_gradient(x, y):
    """The chapter's derivatives of xy + sin x by x and by y."""
    return y + np.cos(x), x


def example(random, trials: int):
    """Yields (quantity, largest relative error) of the autodiff example."""
    points = 3 * random.standard_normal((2, trials))
    points[:, 0] = 0
    x, y = (torch.tensor(values, requires_grad=True) for values in points)
    (x * y + torch.sin(x)).sum().backward()
    steps = [
        complex_step_jacobian(lambda p: (p[0] * p[1] + np.sin(p[0]))[None], point)[0]
        for point in points.T
    ]
    for name, found, reverse, forward in zip(
        "xy", example_gradient(*points), (x.grad, y.grad), np.transpose(steps), strict=True
    ):
        errors = [relative_error(found, reverse.numpy()), relative_error(found, forward)]
        yield f"example_{name}_error", max(errors)


def smooth_map(random, inputs: int, outputs: int):
    """A random analytic map from R^inputs to R^outputs."""
    inner, outer = random.standard_normal((outputs, inputs)), random.standard_normal((outputs, 1))
    return lambda v: np.sin(inner @ v + outer[:, 0]) + inner @ v**2 / 4


def product_of_jacobians(f, g, at_f, at_g):
    """J_f at one point times J_g at another."""
    return complex_step_jacobian(f, at_f) @ complex_step_jacobian(g, at_g)


def jacobians(random, trials: int):
    """Yields the error of J_f(g(x)) J_g(x), and that of J_f(x) J_g(x) where its shapes fit."""
    right, wrong = [], []
    for _ in range(trials):
        n, m, k = (int(size) for size in random.integers(1, 13, 3))
        for middle in (m, n):  # the wrong point needs as many entries as the right one
            g, f = smooth_map(random, n, middle), smooth_map(random, middle, k)
            x = random.standard_normal(n)
            whole = complex_step_jacobian(lambda v, f=f, g=g: f(g(v)), x)
            right.append(relative_error(product_of_jacobians(f, g, g(x), x), whole))
        wrong.append(relative_error(product_of_jacobians(f, g, x, x), whole))
    yield "composition_error", max(right)
    yield "wrong_point_error", statistics.median(wrong)


def printed_order(random, trials: int):
    """Yields (widths, quantity, value) for the product of transposed Jacobians as printed."""
    for widths in ("different", "equal", "one"):
        right, printed, turned = [], [], []
        for _ in range(trials):
            layers = int(random.integers(3, 7))
            sizes = {
                "different": random.permutation(np.arange(2, 2 + layers + 1)),
                "equal": np.full(layers + 1, random.integers(2, 10)),
                "one": np.ones(layers + 1, int),
            }[widths]
            steps, gradient, expected = chain(random, sizes)
            transposed = [jacobian.T for jacobian in steps]
            as_printed = product([*reversed(transposed), gradient])
            fits = as_printed is not None
            printed += [relative_error(as_printed, expected)] if fits else []
            right.append(fits and printed[-1] < 1e-8)
            turned.append(relative_error(product([*transposed, gradient]), expected))
        yield widths, "printed_order", float(all(right))
        yield widths, "reversed_order_error", max(turned)
        if printed:
            yield widths, "printed_order_error", statistics.median(printed)


def chain(random, sizes):
    """Maps f₁ to f_L between spaces of these sizes, at a random f₀; the loss is Σ sin f_L.

    Returns the Jacobians ∂f_l/∂f_(l−1), ∂L/∂f_L, and ∂L/∂f₀ by a complex step through all of it.
    """
    maps = [smooth_map(random, int(n), int(m)) for n, m in itertools.pairwise(sizes)]
    start = point = random.standard_normal(sizes[0]) / 2
    steps = []
    for f in maps:
        steps.append(complex_step_jacobian(f, point))
        point = f(point)

    def loss(v):
        for f in maps:
            v = f(v)
        return np.sin(v).sum()[None]

    (expected,) = complex_step_jacobian(loss, start)
    return steps, np.cos(point), expected


def product(factors):
    """Matrices times a vector, as a mathematician reads it; None where the shapes do not fit."""
    for left, right in itertools.pairwise(factors):
        if left.shape[1] != right.shape[0]:
            return None
    result = factors[-1]
    for matrix in reversed(factors[:-1]):
        result = matrix @ result
    return result


# ---- Cost ---------------------------------------------------------------------------------------


class TimedNetwork:
    """A network of `depth` layers in PyTorch, with a batch, and the cost of its gradients."""

    def __init__(self, depth: int, width: int, inputs: int, seed: int):
        torch.manual_seed(seed)
        widths = [inputs] + [width] * (depth - 1) + [CLASSES]
        layers = []
        for fan_in, fan_out in itertools.pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        self.parameters = list(self.model.parameters())
        self.x = torch.randn(IMAGES, inputs)
        self.labels = torch.randint(CLASSES, (IMAGES,))

    def forward(self):
        """The loss."""
        return nn.functional.cross_entropy(self.model(self.x), self.labels)

    def backward(self, loss):
        """The gradients of all parameters."""
        return torch.autograd.grad(loss, self.parameters)

    def size(self) -> int:
        """The number of parameters."""
        return sum(parameter.numel() for parameter in self.parameters)

    def counted(self) -> float:
        """Operations of the backward pass over those of the forward pass, matrix products only."""
        with FlopCounterMode(display=False) as forward:
            loss = self.forward()
        with FlopCounterMode(display=False) as backward:
            self.backward(loss)
        return backward.get_total_flops() / forward.get_total_flops()

    def timed(self, turn: float) -> float:
        """Time of the backward pass over that of the forward pass, taken in turns for `turn`
        seconds; medians, which a moment's interruption does not move."""
        forward, backward = [], []
        self.backward(self.forward())
        end = time.perf_counter() + turn
        while time.perf_counter() < end or len(forward) < 5:
            began = time.perf_counter()
            loss = self.forward()
            between = time.perf_counter()
            self.backward(loss)
            backward.append(time.perf_counter() - between)
            forward.append(between - began)
        return statistics.median(backward) / statistics.median(forward)

    @torch.no_grad()
    def by_differences(self, turn: float = 0.0, chunk: int = 20, step: float = 1e-2):
        """The gradient by central differences, as one vector, and its cost in forward passes.

        The forward passes are timed between chunks of parameters. A small network's gradient is
        taken again until `turn` seconds have passed. A parameter's time is the median over chunks.
        """
        flat = nn.utils.parameters_to_vector(self.parameters)
        nn.utils.vector_to_parameters(flat, self.parameters)  # they are views of `flat` from now on
        values = flat.numpy()
        for _ in range(chunk):  # the first calls are slow
            self.forward()
        a_parameter, forward, gradient = [], [], []
        end = time.perf_counter() + turn
        while not gradient or time.perf_counter() < end:
            gradient = []
            for begin in range(0, len(values), chunk):
                here = range(begin, min(begin + chunk, len(values)))
                began = time.perf_counter()
                gradient += [self.difference(values, i, step) for i in here]
                between = time.perf_counter()
                for _ in range(chunk):
                    self.forward()
                forward.append((time.perf_counter() - between) / chunk)
                a_parameter.append((between - began) / len(here))
        cost = len(values) * statistics.median(a_parameter) / statistics.median(forward)
        return torch.stack(gradient), cost

    def difference(self, values, i: int, step: float):
        """(L(w + ε) − L(w − ε))/2ε for parameter i of `values`, which the network reads."""
        value = values[i]
        values[i] = value + step
        above = self.forward()
        values[i] = value - step
        below = self.forward()
        values[i] = value
        return (above - below) / (2 * step)


def cost_by_shape(settings: dict) -> list[dict]:
    """Counted and timed cost of a backward pass by depth and width; each shape has its turn in
    every repetition."""
    rows = []
    shapes = list(itertools.product(settings["depth"], settings["width"]))
    networks = {shape: TimedNetwork(*shape, PIXELS, seed=0) for shape in shapes}
    counted = {shape: network.counted() for shape, network in networks.items()}
    for seed in settings["seeds"]:
        for shape, network in networks.items():
            where = dict(zip(("depth", "width"), shape, strict=True), seed=seed)
            where["parameters"] = network.size()
            found = {"count_ratio": counted[shape], "time_ratio": network.timed(settings["turn"])}
            rows += [{"quantity": name, "value": value, **where} for name, value in found.items()]
    return rows


DEPTH, INPUTS = 3, 16  # of the networks that grow from one unit per layer


def cost_by_parameters(settings: dict) -> list[dict]:
    """Timed cost of both kinds of gradient by the number of parameters, and the fitted slopes."""
    rows = []
    limits = {
        "differences": settings["differences_up_to"],
        "backward": settings["backward_up_to"],
    }
    networks = []
    for doublings in itertools.count():
        network = TimedNetwork(DEPTH, 2**doublings, INPUTS, seed=0)
        if network.size() > max(limits.values()):
            break
        networks.append(network)
    for seed in settings["seeds"]:
        costs = {"differences": {}, "backward": {}}
        for network in networks:
            size = network.size()
            if size <= limits["backward"]:
                costs["backward"][size] = network.timed(settings["turn"])
            if size <= limits["differences"]:
                costs["differences"][size] = network.by_differences(settings["turn"])[1]
        for way, by_size in costs.items():
            rows += [
                {"quantity": f"{way}_cost", "seed": seed, "value": cost, "parameters": size}
                for size, cost in by_size.items()
            ]
            slope = np.polyfit(np.log(list(by_size)), np.log(list(by_size.values())), 1)[0]
            rows.append({"quantity": f"{way}_slope", "seed": seed, "value": slope})
    return rows
