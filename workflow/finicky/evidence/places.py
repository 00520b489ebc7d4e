"""Places in words: the conditions in which a claim holds, as a reader says them.

`for ReLU at depth 10 or more`, `everywhere but on MNIST`. Each axis has a noun, for what was
varied, and a phrase, for its levels; an axis without them is called by its name.
"""

import itertools

from finicky.evidence.where import AT_LEAST, AT_MOST, IN, NOT_IN, AxisTest, independent_axes
from finicky.labels import axis_label, in_order, label, listed

# axis: (noun, phrase of its levels), where {} is the name or number. Those that come first are told
# first.
AXES = {
    "batch_norm": ("use of batch norm", "{}"),
    "network": ("network", "in {} networks"),
    "block": ("network type", "in {} networks"),
    "model": ("model", "for {}"),
    "ensemble": ("kind of function", "for {}"),
    "activation": ("activation", "for {}"),
    "init": ("initialisation", "with {}"),
    "form": ("block form", "in {} blocks"),
    "landscape": ("landscape", "on the {} landscape"),
    "start": ("start", "from {}"),
    "noise": ("kind of noise", "with {} noise"),
    "optimizer": ("optimizer", "with {}"),
    "schedule": ("schedule", "with the schedule {}"),
    "learning_rate": ("learning rate", "at learning rate {}"),
    "rate": ("learning rate", "at {}"),
    "tuning": ("learning rate", "at {}"),
    "depth": ("depth", "at depth {}"),
    "layer": ("layer", "at layer {}"),
    "width": ("width", "at width {}"),
    "units": ("width", "with {} units"),
    "channels": ("width", "with {} channels"),
    "batch_size": ("batch size", "in batches of {}"),
    "ghost": ("batch of the statistics", "with statistics over {} images"),
    "momentum": ("momentum", "at momentum {}"),
    "bias": ("use of biases", "{}"),
    "layers": ("layer shape", "for {} layers"),
    "after_addition": ("block form", "{}"),
    "after_the_sum": ("block form", "with {}"),
    "derivative": ("kind of block", "for blocks of {}"),
    "paths": ("way of counting", "counting {}"),
    "deleted": ("number of layers", "with {} deleted"),
    "remaining": ("share of weights left", "with {} of the weights left"),
    "start_scale": ("size of the start", "from start weights of size {}"),
    "decay": ("weight decay", "at weight decay {}"),
    "dropout": ("dropout rate", "at dropout {}"),
    "gain": ("weight size", "at gain {}"),
    "condition_number": ("condition number", "at condition number {}"),
    "threshold": ("clipping threshold", "at clipping threshold {}"),
    "nodes": ("set of points", "for {} points"),
    "target": ("function", "for {}"),
    "targets": ("kind of target", "for {} targets"),
    "function": ("function", "for the {}"),
    "degree": ("exponent", "for exponent {}"),
    "bits": ("number of bits", "for {} bits"),
    "inputs": ("kind of input", "with {} inputs"),
    "dimension": ("dimension", "in {} dimensions"),
    "tolerance": ("tolerance", "at tolerance {}"),
    "deviation": ("deviation", "for features of deviation {}"),
    "share": ("share of outliers", "with {} of outliers"),
    "outliers": ("kind of outlier", "with outliers in the {}"),
    "share_of_wrong_labels": ("share of wrong labels", "at a share of wrong labels of {}"),
    "task": ("task", "on {}"),
    "constant": ("kind of constant", "for {}"),
    "gradients": ("gradient size", "for {} gradients"),
    "injected": ("kind of shift", "with {}"),
    "definition": ("measure", "measured in {}"),
    "statistic": ("statistic", "for the {}"),
    "metric": ("measure", "measured by {}"),
    "counterexample": ("counterexample", "for the counterexample “{}”"),
    "cause": ("cause", "after {}"),
    "underfit": ("kind of underfitting", "with {}"),
    "scale": ("input scale", "with inputs scaled to {}"),
    "way": ("way of running", "running {}"),
    "order": ("image order", "with images {}"),
    "placement": ("image position", "for {} images"),
    "images": ("training-set size", "with {} training images"),
    "examples": ("training-set size", "with {} examples"),
    "label": ("class", "for class {}"),
    "dataset": ("data set", "on {}"),
    "epochs": ("training time", "with {} epochs"),
    "epoch": ("epoch", "at epoch {}"),
    "when": ("time of looking", "{}"),
    "stage": ("time of looking", "{}"),
    "along": ("stretch of training", "along {}"),
    "weight_decay": ("weight decay", "at weight decay {}"),
    "label_noise": ("share of wrong labels", "at a share of wrong labels of {}"),
}
# Levels that a sentence calls otherwise than a figure does, to stand in the axis's phrase ...
LEVELS = {
    "model": {
        "MLP": "the fully connected network",
        "convolution": "the convolutional network",
        "two-layer network": "the two-layer network",
        "linear": "the linear model",
    },
    "ensemble": {
        "random_matrix": "random matrices",
        "smooth_random_function": "smooth random functions",
        "small_network": "small networks",
    },
    "block": {"batch_norm": "batch-norm", "batch_norm_residual": "batch-norm residual"},
    "init": {
        "he": "He initialisation",
        "xavier": "Xavier initialisation",
        "lecun": "LeCun initialisation",
        "uniform_fan_in": "U(±1/√n) weights",
        "zeros": "zero weights",
    },
    "injected": {"drawn anew": "a shift drawn anew at every step", "drifting": "a drifting shift"},
    "rate": {
        "chapter": "the chapter's learning rate",
        "fixed": "a fixed rate",
        "own best": "each one's own best rate",
    },
    "tuning": {
        "same rate": "the same learning rate for both",
        "one rate for all": "one rate for all",
        "each at its best": "the best rate of each",
        "own best rate": "the best rate of each",
    },
    "landscape": {"kinked": "kinked valley", "ravine": "ravine", "banana": "banana-shaped"},
    "network": {
        "linear": "linear",
        "two linear layers": "two-layer linear",
        "two diagonal linear layers": "two-layer diagonal linear",
        "two layers, ReLU": "two-layer ReLU",
        "two layers, tanh": "two-layer tanh",
        "convolution": "convolutional",
    },
    "layers": {"equal": "equally wide", "widening": "ever wider", "narrowing": "ever narrower"},
    "nodes": {"chebyshev": "Chebyshev", "equispaced": "equispaced"},
    "target": {
        "Runge's": "Runge's function",
        "absolute value": "the absolute value",
        "exponential": "the exponential",
        "wave": "a wave-shaped function",
        "kink": "a kink",
        "root": "a root",
        "dome": "a dome",
        "crease": "a crease",
    },
    "constant": {
        "fraction": "decimal fractions",
        "whole number": "whole numbers",
        "zero": "zeros",
    },
    "along": {"first step": "the first step"},
    "metric": {"error": "test error", "loss": "test loss"},
    "cause": {
        "NaN in an image": "a NaN in an image",
        "log 0, automatic gradient": "log 0 with autograd's gradient",
        "log 0, gradient p − y": "log 0 with prediction minus label as gradient",
        "rate too high": "too high a learning rate",
    },
    "definition": {"moments": "mean and variance", "gradients": "change of the gradient"},
}
# ... and those that do not fit into it.
PHRASES = {
    ("activation", "identity"): "without an activation",
    ("bias", True): "with biases",
    ("bias", False): "without biases",
    ("after_addition", True): "with an activation after the addition",
    ("after_addition", False): "without an activation after the addition",
    ("derivative", "norm below 1"): "for blocks with a derivative of norm below 1",
    ("start", "exactly on it"): "starting exactly on the path into the saddle",
    ("start", "beside it"): "starting beside the path into the saddle",
    ("landscape", "zero weights"): "near zero weights",
    ("landscape", "saddle"): "at the saddle",
    ("landscape", "flat saddle"): "at the flat saddle",
    ("landscape", "steep saddle"): "at the steep saddle",
    ("targets", "of two units"): "for targets made by two units",
    ("targets", "of a linear map"): "for targets of a linear map",
    ("targets", "ten outputs"): "for ten outputs",
    ("targets", "one example twice"): "with one example twice",
    ("inputs", "any sign"): "for inputs of any sign",
    ("inputs", "outputs of the activation"): "for inputs that are outputs of the activation",
    ("stage", "trained"): "after training",
    ("when", "end"): "at the end",
    ("when", "start"): "at the start",
}  # fmt: skip
UNITS = {"remaining": " %", "share": " %"}
# Of these there are fewer, not less.
COUNTED = (
    "units",
    "channels",
    "images",
    "examples",
    "epochs",
    "dimension",
    "bits",
    "ghost",
    "deleted",
)
NAMED = 4  # so many axes are named, and fewer levels
DEVIATION = "normal_std_"


# ---- A place ------------------------------------------------------------------------------------


def where_words(found):
    """A where.Where as it reads after "it holds": `for ReLU at depth 6 or more`, `everywhere but
    for sigmoid or tanh`."""
    inside, places = _places(found)
    if not places:
        return "everywhere" if found.exceptions else "nowhere"
    place = ", or ".join(places)
    return place if inside else f"everywhere but {place}"


def which(found):
    """The same after "in 6 of 10 settings, ": which of them these are, and not more than is true.

    `those with SGD` hold all, and no others; of `all of them with SGD` there are others that do not
    or are undecided; `most of them with SGD` and `but in only 2 of the 9 with SGD` know exceptions,
    and are said only where luck seldom tells as many right. Empty where the rule does not explain,
    or where it leaves a place out but most of the settings in which it does not hold lie elsewhere.
    """
    inside, places = _places(found)
    hold, exceptions = found.inside.hold, found.outside.hold
    there, elsewhere = (side.fail + side.undecided for side in (found.outside, found.inside))
    if not found.explains or not places or (not inside and there < elsewhere):
        return ""
    place = ", or ".join(places)
    if exceptions:
        if not found.beyond_luck:
            return ""
        if inside:
            return f"most of them {place}"
        out = found.outside
        return f"but in only {exceptions} of the {out.hold + out.fail + out.undecided} {place}"
    if found.inside.fail or found.inside.undecided:
        if not inside and hold > 2:
            return f"but in none {', nor '.join(places)}"
        one, two, more = ("the one", "both", "all of them") if inside else ("not", "neither", "")
        word = {1: one, 2: two}.get(hold, more)
        return f"{word} {place}"
    if inside:
        return f"{'the one' if hold == 1 else 'those'} {place}"
    return f"namely all but those {place}"


def sharp(found):
    """Whether it holds at the place as a whole, and is decided not to hold everywhere else."""
    inside, outside = found.inside, found.outside
    told = found.explains and bool(found.clauses)
    return told and not (inside.fail or inside.undecided or outside.hold or outside.undecided)


def _places(found):
    """(whether the claim holds there or everywhere else, the places in words)."""
    clauses, inside = found.clauses, not found.exceptions
    # What is left out of everything is better told the other way round.
    denied = [tests for tests in clauses if all(test.op == NOT_IN for test in tests)]
    if not denied:
        return inside, list(map(_clause, clauses))
    turned = [[_turned(test) for test in tests] for tests in denied]
    if len(denied) == 1:
        place = " or ".join(map(_clause, ([test] for test in turned[0])))
        others = [tests for tests in clauses if tests not in denied]
        if others:
            place += f", but not {_clause(others[0])}"
        return not inside, [place]
    # Not one of several places: in all of them at once.
    return not inside, [" ".join(" or ".join(map(_phrase, tests)) for tests in turned)]


def _turned(test):
    return AxisTest(test.axis, IN, test.levels)


def _clause(tests):
    """What a place is, then what is left out of it."""
    tests = sorted(tests, key=lambda test: _order(test.axis))
    by_axis = {}
    for test in tests:
        by_axis.setdefault((test.axis, test.op == NOT_IN), []).append(test)
    here = [_phrase(*some) for (_, denied), some in by_axis.items() if not denied]
    out = [_phrase(*some) for (_, denied), some in by_axis.items() if denied]
    return ", but not ".join(filter(None, [_in_a_row(here), " or ".join(out)]))


def _in_a_row(phrases):
    """Phrases of one place, whose words repeat no `with`: `with SGD and 32 units`."""
    said = ""
    for before, phrase in itertools.pairwise(["", *phrases]):
        again = all(one.startswith("with ") and " or " not in one for one in (before, phrase))
        said += f" and{phrase.removeprefix('with')}" if again else f" {phrase}"
    return said.strip()


def _phrase(*tests):
    """The tests on one axis, such as `at depth 6 or more`."""
    axis, levels = tests[0].axis, tests[0].levels
    own = [level for level in levels if (axis, level) in PHRASES]
    if own:
        others = tuple(level for level in levels if level not in own)
        rest = [_phrase(AxisTest(axis, IN, others))] if others else []
        return " or ".join(rest + [PHRASES[axis, level] for level in own])
    if len(tests) == 2:
        ends = sorted(test.levels[0] for test in tests)
        return _in_phrase(axis, ends[0], f"{_name(axis, ends[0])} to {_name(axis, ends[1])}")
    fewer = " or fewer" if axis in COUNTED else " or less"
    more = {AT_LEAST: " or more", AT_MOST: fewer}.get(tests[0].op, "")
    if all(isinstance(level, str) for level in levels):
        levels = in_order(levels)
    said = listed([_name(axis, level) for level in levels], "or")
    return _in_phrase(axis, levels[0], said + more)


def _in_phrase(axis, level, said):
    if axis in AXES:
        return AXES[axis][1].format(said)
    return f"for {said}" if isinstance(level, str) else f"at {axis_label(axis)} {said}"


def _name(axis, level):
    """A level's name within the phrase of its axis."""
    if axis == "init" and str(level).startswith(DEVIATION):
        return f"weights of deviation {label(float(level.removeprefix(DEVIATION)))}"
    return LEVELS.get(axis, {}).get(level) or label(level) + UNITS.get(axis, "")


# ---- What was varied ----------------------------------------------------------------------------


def setting(levels, axes):
    """One setting by its levels on some axes: `with SGD at depth 10 on Fashion-MNIST`."""
    return _clause([AxisTest(axis, IN, (levels[axis],)) for axis in axes if axis in levels])


def settings(some, levels, holding=()):
    """So many conditions, with what they differ in: `in all 6 settings of data set and depth`, `for
    2 of 3 optimizers, SGD and Adam`. some: their number in words; levels: a dict axis -> level a
    condition; holding: those in which it holds, which are named if they are few on one axis."""
    axes = varied(levels)
    nouns = list(
        dict.fromkeys(AXES[axis][0] if axis in AXES else axis_label(axis) for axis in axes)
    )
    if len(axes) == 1:
        names = named(levels, holding)
        return f"for {some} {_plural(nouns[0])}" + (f", {listed(names)}" if names else "")
    if len(nouns) > NAMED:
        nouns = [*nouns[: NAMED - 1], "more"]
    return f"in {some} settings" + (f" of {listed(nouns)}" if nouns else "")


def named(levels, holding):
    """The names of the levels in which it holds, a tuple, if conditions differ on one axis and they
    are few, and none has a phrase of its own."""
    axes = varied(levels)
    if len(axes) != 1 or not 0 < len(holding) < min(len(levels), NAMED):
        return ()
    found = [condition[axes[0]] for condition in holding if axes[0] in condition]
    if any((axes[0], level) in PHRASES for level in found):
        return ()
    ordered = in_order(found) if all(isinstance(level, str) for level in found) else found
    return tuple(_name(axes[0], level) for level in ordered)


def varied(levels):
    """The axes along which conditions differ, in the order of AXES, without those that only follow
    another one. levels: a dict axis -> level a condition."""
    axes = list(dict.fromkeys(axis for condition in levels for axis in condition))
    return sorted(independent_axes(levels, axes)[0], key=_order)


def _order(axis):
    return list(AXES).index(axis) if axis in AXES else len(AXES)


def _plural(noun):
    """`optimizers`, `kinds of block`."""
    first, of, rest = noun.partition(" of ")
    return f"{first}{'es' if first.endswith(('s', 'x')) else 's'}{of}{rest}"
