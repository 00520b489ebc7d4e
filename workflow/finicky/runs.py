"""Runs: from a config's sub-grids to trainings, their identities, and their packing into shards.

Nothing here imports torch: the workflow plans with this module every time it starts.
"""

import hashlib
import itertools
import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass, field, fields
from functools import cache, cached_property
from importlib.metadata import version

from finicky import data, sources

SCHEME = 1  # version of the identity below
RUNS_A_SEED = 4  # of a fused batch of the default preset at 2 and at 10 layers, on average
FUSED_BYTES = 2**29  # of the images and values of a step of runs that a core trains together
GPU_FUSED = 35  # runs of a fused batch on a GPU, as a rule: seven initialisers, five seeds
GPU_SHARD_SECONDS = 450  # at most, of a job on a GPU
OUTCOMES = ("finite", "large", "inf", "nan")  # the worst batch loss, from harmless to worst
FAILED = ("inf", "nan")
PURPOSE = ("comparison",)  # of a sub-grid that names none
BLOCKS = ("plain", "batch_norm", "residual", "batch_norm_residual")
# Axes that came later, and the level that each had before: at it, it is no part of an identity.
# The decay None is the optimizer's own.
LATER = {"weight_decay": None, "schedule": "constant", "label_noise": 0.0}


@dataclass(frozen=True)
class Run:
    """One training from start to end: a cell of the grid with a seed."""

    dataset: str
    images: int
    epochs: int
    depth: int
    block: str
    activation: str
    init: str
    optimizer: str
    learning_rate: float
    batch_size: int
    width: int
    seed: int
    device: str = "cpu"
    weight_decay: float | None = LATER["weight_decay"]
    schedule: str = LATER["schedule"]
    label_noise: float = LATER["label_noise"]
    instruction_set: str | None = None  # the only one it trains on; None: any, and not in the id

    @cached_property
    def id(self):
        """SHA-256, its first 20 hex digits, of everything that the result depends on: a JSON
        object, its keys sorted, of the levels, the environment and the code."""
        code = [
            sources.core_code(self.device),
            sources.level_code("init", registered(self.init)),
            sources.level_code("activation", self.activation),
            sources.level_code("optimizer", self.optimizer),
        ]
        later = {axis: getattr(self, axis) for axis, level in LATER.items()}
        later = tuple((axis, level) for axis, level in later.items() if level != LATER[axis])
        if self.schedule != LATER["schedule"]:
            code.append(sources.level_code("schedule", self.schedule))
        names = (self.dataset, self.block, self.activation, self.init, self.optimizer, self.device)
        text = identity(*names, self.instruction_set, later, tuple(code)) % (
            self.batch_size, self.depth, self.epochs, self.images, self.learning_rate, self.seed,
            self.width,
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def row(self):
        """The run's levels as tables have them: its decay as a number, and its `classes`."""
        own = sources.own_decay(self.optimizer)
        decay = own if self.weight_decay is None else self.weight_decay
        classes = data.described(self.dataset)["classes"]
        return asdict(self) | {"weight_decay": decay, "classes": classes}

    @property
    def steps(self):
        """Optimizer steps from start to end."""
        return self.epochs * math.ceil(self.images / self.batch_size)


# What a stored run's record says of it as well, but for LATER where it is older than these.
LEVELS = tuple(one.name for one in fields(Run) if one.name != "instruction_set")


def of_record(record):
    """The Run of a stored record or of a row of a table: of one that may train anywhere, since a
    record says on which instruction set a run was trained, not whether it had to be.

    Raises KeyError if a level is missing.
    """
    levels = LATER | {name: record[name] for name in LEVELS if name in record or name not in LATER}
    return Run(
        **levels | {"weight_decay": canonical_decay(record["optimizer"], levels["weight_decay"])}
    )


@cache
def identity(dataset, block, activation, init, optimizer, device, instruction_set, later, code):
    """What a run's id is a hash of, with a %r for each of its numbers, which stand in the order of
    their names. Thousands of runs share one of these, and JSON writes a number as %r does."""
    parts = environment(dataset, device) | {
        "block": block, "activation": activation, "init": init, "optimizer": optimizer,
        "device": device, "dataset": dataset, "code": code,
    }  # fmt: skip
    parts |= dict(later)
    if instruction_set:
        parts["instruction_set"] = instruction_set
    number = "\0"
    parts |= dict.fromkeys(
        ["batch_size", "depth", "epochs", "images", "learning_rate", "seed", "width"], number
    )
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return text.replace("%", "%%").replace(json.dumps(number), "%r")


@cache
def environment(dataset, device):
    """What a run's result depends on besides its levels and the engine's code."""
    return {
        "scheme": SCHEME,
        **data.identity(dataset),
        "dtype": "float32",
        "torch": version("torch").split("+")[0],
    }


def forget():
    """Forget what ids were made of: another config may declare other data sets of these names."""
    identity.cache_clear()
    environment.cache_clear()


def later(optimizer):
    """The columns of tables that came later, as they are for the runs of before."""
    return LATER | {"weight_decay": sources.own_decay(optimizer), "classes": 10}


@cache
def registered(init):
    """The registered name of an initialiser level: `normal_std` for `normal_std_0.001`."""
    return init if init in sources.levels("init") else init.rpartition("_")[0]


def canonical_init(level):
    """One name for what trains alike: `normal_var_1e-4` is `normal_std_0.01`."""
    family, _, number = level.rpartition("_")
    if family in ("normal_std", "normal_var"):
        deviation = math.sqrt(float(number)) if family == "normal_var" else float(number)
        return f"normal_std_{deviation:.6g}"
    return level


def canonical_decay(optimizer, level):
    """A weight decay as it matters: None if it is the optimizer's own."""
    return None if level in (None, sources.own_decay(optimizer)) else float(level)


def canonical_block(depth, block):
    """The block as it matters: a network of two layers has no place for a residual connection."""
    if depth > 2:
        return block
    return {"residual": "plain", "batch_norm_residual": "batch_norm"}.get(block, block)


@dataclass
class Plan:
    """All runs of a preset: run -> names of its sub-grids, run -> what these are for, and shard
    name -> its runs."""

    subgrids: dict[Run, list[str]]
    purposes: dict[Run, list[str]] = field(default_factory=dict)
    shards: dict[str, list[Run]] = field(default_factory=dict)


def plan(config):
    """Expand the sub-grids of a validated config and pack their runs into shards.

    The data sets that it declares are known already (own_data.declare).
    """
    forget()
    subgrids, purposes = defaultdict(list), defaultdict(set)
    for name, grid in config["grid"].items():
        for run in dict.fromkeys(expand(grid, config)):
            subgrids[run].append(name)
            purposes[run] |= set(grid.get("for", PURPOSE)) if usual(run, config) else set()
    purposes = {run: sorted(found) for run, found in purposes.items()}
    return Plan(dict(subgrids), purposes, shards(subgrids, config["shard_seconds"]))


def usual(run, config):
    """Whether a run differs from the chapter's in nothing but the axes that its claims are about.

    The experiments of the chapter get no others (their purposes): they would mix widths, say.
    """
    return (
        run.dataset in data.DATASETS
        and all(getattr(run, axis) == config[axis] for axis in ("batch_size", "width"))
        and all(getattr(run, axis) == level for axis, level in LATER.items())
    )


def levels(grid, axis, config=None):
    """A sub-grid's levels of an axis, of which it may have a single one or a list; of an axis that
    it leaves out the config's own, or the one of LATER."""
    named = grid.get(axis, (config or {}).get(axis, LATER.get(axis)))
    return named if isinstance(named, list) else [named]


def expand(grid, config):
    """The runs of one sub-grid: the product of its levels, with its rates and seeds."""
    names = ["dataset", "images", "epochs", "depth", "block", "activation", "init", "optimizer",
             "batch_size", "width", *LATER]  # fmt: skip
    seeds = range(grid.get("seeds", config["seeds"]))
    axes = [levels(grid, name, config) for name in names]
    for *product, seed in itertools.product(*axes, seeds):
        at = dict(zip(names, product, strict=True))
        if at["init"] == "matched":
            at["init"] = config["matched_init"][at["activation"]]
        at |= {
            "block": canonical_block(at["depth"], at["block"]),
            "init": canonical_init(at["init"]),
            "weight_decay": canonical_decay(at["optimizer"], at["weight_decay"]),
            "label_noise": float(at["label_noise"]),
        }
        for rate in rates(grid, at["optimizer"], config):
            yield Run(
                **at,
                learning_rate=float(rate),
                seed=config["first_seed"] + seed,
                device=config["device"],
                instruction_set=config.get("instruction_set"),
            )


def counted(grid, config):
    """Pairs of a run and a number: each training of a sub-grid that differs in size or data from
    the others, and how many it has of it, with its initialisers, rates and seeds; equal ones are
    counted as often as it names them."""
    one = grid | {"seeds": 1, "init": ["zeros"], "learning_rate": [1.0]}
    others = len(grid["init"]) * grid.get("seeds", config["seeds"])
    for run in expand(one, config | {"device": "cpu"}):
        yield run, others * len(rates(grid, run.optimizer, config))


def rates(grid, optimizer, config):
    """A sub-grid's learning rates for an optimizer; the config's own where it names none."""
    named = grid.get("learning_rate", config["optimizers"])
    return named[optimizer] if isinstance(named, dict) else named


def architecture_key(run):
    """What the runs of one fused batch share, and on a CPU those of a shard."""
    return (run.dataset, run.depth, run.block, run.activation)


def fusion_key(run):
    """What the runs of one fused batch share, besides their architecture."""
    decay = -1.0 if run.weight_decay is None else run.weight_decay  # that keys can be sorted
    special = (decay, run.schedule, run.label_noise)
    return (run.images, run.epochs, run.batch_size, run.width, run.optimizer, *special)


def shards(runs, size):
    """Pack runs into shards of about `size` estimated seconds each: {name: runs in training order}.

    A name carries a hash of its runs' identities: a shard whose runs change is another shard.
    """
    groups = defaultdict(list)
    for run in runs:
        groups[shard_key(run)].append(run)
    packed = {}
    for key, members in sorted(groups.items()):
        members.sort(
            key=lambda r: (architecture_key(r), fusion_key(r), r.seed, r.learning_rate, r.init)
        )
        for part in parts(members, size):
            ids = "".join(run.id for run in part)
            packed[f"{'-'.join(key)}-{sources.digest(ids)[:12]}"] = part
    return packed


def shard_key(run):
    """What the runs of one shard share, as the words of its name.

    On a GPU many architectures train side by side: only the data set is shared.
    """
    if run.device == "cpu":
        return (run.dataset, f"{run.depth:02d}", run.block, run.activation)
    return (run.dataset, run.device)


def parts(members, size):
    """Sorted runs in parts of about equal length, `size` seconds at most by estimate."""
    if members[0].device != "cpu":
        size = min(size, GPU_SHARD_SECONDS)
    lengths = list(map(seconds, members))
    total = sum(lengths)
    target = total / math.ceil(total / size)
    found, filled = [[]], 0.0
    for run, length in zip(members, lengths, strict=True):
        if filled >= target * len(found):
            found.append([])
        found[-1].append(run)
        filled += length
    return found


@dataclass(frozen=True)
class Cost:
    """What training costs, in seconds, without and with batch norm (False, True).

    A line is (base, slope): base + slope × hidden layers, at the chapter's sizes; elsewhere the
    base, which is the first layer's, and the slope count by their multiplications, but not below a
    half. `steps`: of an optimizer step of one run; `images`: of an image in evaluation; `probe`: of
    a probe, in steps. What a fused batch of any size costs beside them, on a GPU with others side
    by side: `starts` of a step's kernels; `setups`, once, of drawing its weights and capturing its
    step.
    """

    steps: dict[bool, tuple[float, float]]
    images: dict[bool, tuple[float, float]]
    probe: float = 2.5
    starts: dict[bool, tuple[float, float]] | None = None
    setups: dict[bool, tuple[float, float]] | None = None

    def seconds(self, run, fused=GPU_FUSED):
        """Estimated seconds of a run, in a batch of `fused` ones: steps, evaluations, probes."""
        hidden, normalised = run.depth - 1, "batch_norm" in run.block
        described = data.described(run.dataset)
        first = data.inputs(run.dataset) * run.width / (784 * 128)
        inner = (run.width / 128) ** 2

        def at(lines, batch=None):
            base, slope = lines[normalised] if lines else (0, 0)
            if batch is None:  # what starting things costs, whatever their size
                return base + slope * hidden
            return base * max(0.5, first * batch) + slope * hidden * max(0.5, inner * batch)

        step = at(self.steps, run.batch_size / 64) + at(self.starts) / fused
        held_out = data.held_out(described["train"])
        held_out = held_out if run.images <= described["train"] - held_out else 0
        evaluated = run.epochs * described["test"] + run.images + held_out
        probes = 2 if run.epochs == 1 else 3
        steps = (run.steps + probes * self.probe) * step
        return at(self.setups) / fused + steps + evaluated * at(self.images, 1)


# Of an AVX-512 core of 2025. Shards are packed by it on every machine, so that they are the same.
NOMINAL = Cost(
    steps={False: (2.6e-4, 7.5e-5), True: (2.6e-4, 1.25e-4)},
    images={False: (1.1e-6, 2.6e-7), True: (1.1e-6, 2.8e-7)},
)


# Of an H100, 2026 (torch 2.11); shards are packed by it for every card. Fitted to 2.2, 6.2, 29.3
# and 45.1 µs a run-step (2, 10, 56 layers; 56 with batch norm and residual) at R = 35 with 16
# graphs side by side (an H200: 1.9, 5.4, 25.6, 39.9), and to what the same bench's jobs took beside
# their steps, with 25 ns to draw a weight. Of 1,577 runs of `full`, which took 166 s there, it says
# 148.
NOMINAL_GPU = Cost(
    steps={False: (1.32e-6, 4.62e-7), True: (1.32e-6, 7.11e-7)},
    images={False: (5.0e-9, 1.86e-9), True: (5.0e-9, 2.8e-9)},
    probe=20,
    starts={False: (1.4e-5, 1.4e-6), True: (1.4e-5, 2.7e-6)},
    setups={False: (0.14, 0.0165), True: (0.14, 0.0175)},
)


def seconds(run):
    """Nominal seconds of a run: on one core, or of a GPU."""
    return (NOMINAL if run.device == "cpu" else NOMINAL_GPU).seconds(run)


def fused_batches(runs, cache_bytes, size=None):
    """Split a shard's runs into fused batches, each of runs that can train together.

    `size` runs in each, or as many as fused_size says for a core's level-2 cache; on a GPU all that
    can train together, which the engine splits where there is too little memory.
    """
    batches = []
    for _, group in itertools.groupby(runs, key=lambda r: (architecture_key(r), fusion_key(r))):
        group = list(group)
        r = size or largest_batch(group, cache_bytes)
        count = math.ceil(len(group) / r)
        bounds = [round(i * len(group) / count) for i in range(count + 1)]
        batches += [group[a:b] for a, b in itertools.pairwise(bounds)]
    return batches


def largest_batch(group, cache_bytes):
    """How many of the runs that can train together should."""
    one = group[0]
    if one.device != "cpu":
        return len(group)
    _, batch = memory(one)
    return max(1, min(fused_size(parameters_of(one), cache_bytes), FUSED_BYTES // batch))


def fused_size(parameters, cache_bytes):
    """How many runs to train together.

    More runs share the cost of starting a kernel, but push each other's weights, gradients and two
    moments (16 bytes a parameter) out of the cache. Up to twelve times the level-2 cache the first
    effect was the larger one where we measured: 15 runs at 2 layers, 7 at 10, 2 at 56.
    """
    return max(1, round(12 * cache_bytes / (16 * parameters)))


def parameters(depth, width, inputs=784, classes=10):
    """Weights of a network."""
    return inputs * width + (depth - 2) * width**2 + classes * width


def parameters_of(run):
    """Weights of a run's network."""
    classes = data.described(run.dataset)["classes"]
    return parameters(run.depth, run.width, data.inputs(run.dataset), classes)


def memory(run):
    """About how many bytes a run needs by itself, as (its network's, those of a batch): parameters,
    gradients and two moments; images as bytes and as floats, and the values of each layer."""
    layers = (run.depth - 1) * (2 if "batch_norm" in run.block else 1) + 3
    batch = run.batch_size * (5 * data.inputs(run.dataset) + 4 * layers * run.width)
    return 16 * parameters_of(run), batch
