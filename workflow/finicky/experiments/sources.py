"""Sources: what papers print and what models are, against what the chapter says of them.

Parameters and layers are counted from torchvision's models, without memory for their weights.
Everything else is literature: LITERATURE and PROVED are typed from the papers, or read off their
figures, and nothing else in the project is. A number that nothing confirms is NaN, which decides
nothing.
"""

import math
from typing import NamedTuple

import pandas as pd

from finicky.experiments import tidy

TITLE = "Sources: papers and models that the chapter cites"
READS = []
QUANTITIES = {
    "agrees": ("0/1", "1 if the source agrees with the chapter, 0 if it differs, none if it cannot "
               "be confirmed"),
    "million_parameters": ("M", "parameters counted from the model"),
    "layers": ("layers", "layers with weights along the longest way through the model"),
    "published": ("%", "error as printed in the cited paper, read off its figure, or stated by the "
                  "model's publisher"),
    "units_by_theorem": ("units", "Poggio et al. 2017: the bound on units for 8 inputs, smoothness "
                         "2 and precision 0.1, without its constant"),
}  # fmt: skip
CONDITIONS = {
    "model": ["ResNet-50", "ResNet-152", "VGG-19", "GoogLeNet"],
    # what is printed, proved or said
    "fact": [
        "plain, 20 layers, training",
        "plain, 20 layers, test",
        "plain, 56 layers, training",
        "plain, 56 layers, test",
        "plain, 18 layers, ImageNet",
        "plain, 34 layers, ImageNet",
        "ResNet-50, ten crops",
        "ResNet-152, ten crops",
        "ResNet-152, several scales",
        "ResNet-152, one crop",
        "ensemble of residual networks",
        "annotator A1",
        "annotator A2",
        "ResNet-110",
        "ResNet-1202",
        "pre-activation ResNet-164",
        "pre-activation ResNet-1001",
        "torchvision's ResNet-50, one crop",
        "ResNet-50, parameters",
        "ResNet-152, parameters",
        "VGG-19, layers",
        "GoogLeNet, layers",
        "6.71 % is better than annotator A1",
        "ResNet-1202 gains",
        "pre-activation ResNet-1001 gains",
        "parts of few variables",
        "any composition",
        "WRN-28-10",
        "WRN-40-8",
        "ResNet-1202 trains",
    ],
    "network": ["one hidden layer", "tree"],
    "source": "text",  # a citation, or the version of a package
}


class Printed(NamedTuple):
    """A number of the literature: in %, where it is printed, and its last digit (of what is read
    off a figure: how far the reading may be off)."""

    value: float
    where: str
    digit: float = 0.01


HE = "He, Zhang, Ren and Sun 2016, CVPR (arXiv:1512.03385)"
IDENTITY = "He, Zhang, Ren and Sun 2016, ECCV (arXiv:1603.05027)"
RUSSAKOVSKY = "Russakovsky et al. 2015, International Journal of Computer Vision 115"
# Curves without numbers; the axis of the error ends at 20 %. Where training ends, they can be read
# off to half a point.
READ_OFF = f"{HE}, figures 1 and 6 (left), read off at the end of training"

LITERATURE = {
    # errors on CIFAR-10 of the networks without shortcuts
    "plain, 20 layers, training": Printed(1.4, READ_OFF, 0.5),
    "plain, 20 layers, test": Printed(9.7, READ_OFF, 0.5),
    "plain, 56 layers, training": Printed(5.9, READ_OFF, 0.5),
    "plain, 56 layers, test": Printed(13.3, READ_OFF, 0.5),
    # top-1 error on ImageNet's validation images, ten crops
    "plain, 18 layers, ImageNet": Printed(27.94, f"{HE}, table 2"),
    "plain, 34 layers, ImageNet": Printed(28.54, f"{HE}, table 2"),
    # top-5 error on ImageNet's validation images
    "ResNet-50, ten crops": Printed(6.71, f"{HE}, table 3"),
    "ResNet-152, ten crops": Printed(5.71, f"{HE}, table 3"),
    "ResNet-152, several scales": Printed(4.49, f"{HE}, table 4"),
    "ResNet-152, one crop": Printed(
        6.7, "the authors' release, github.com/KaimingHe/deep-residual-networks", 0.1
    ),
    "ensemble of residual networks": Printed(3.57, f"{HE}, table 5 (test images)"),
    # the same by people
    "annotator A1": Printed(5.1, f"{RUSSAKOVSKY}, section 6.4", 0.1),
    "annotator A2": Printed(12.0, f"{RUSSAKOVSKY}, section 6.4", 0.1),
    # error on CIFAR-10's test images
    "ResNet-110": Printed(6.43, f"{HE}, table 6"),
    "ResNet-1202": Printed(7.93, f"{HE}, table 6"),
    "pre-activation ResNet-164": Printed(5.46, f"{IDENTITY}, table 4"),
    "pre-activation ResNet-1001": Printed(4.92, f"{IDENTITY}, table 4"),
}

# What a paper shows or lists, in words: 1 if it says what the chapter says, 0 if not.
WRN = "Zagoruyko and Komodakis 2016, BMVC (arXiv:1605.07146), table 4"
POGGIO = "Poggio et al. 2017, International Journal of Automation and Computing 14"
PROVED = {
    "parts of few variables": (1, f"{POGGIO}, theorem 2 (a binary tree of smooth functions)"),
    "any composition": (0, f"{POGGIO}: no theorem; theorem 2 needs parts of few variables"),
    "WRN-28-10": (1, WRN),
    "WRN-40-8": (1, WRN),
    "ResNet-1202 trains": (1, f"{HE}, section 4.2: training error below 0.1 %"),
}


def agree(chapter, source, digit):
    """Whether a number of the chapter is a source's, to one unit of the coarser one's last digit
    (so cutting off and rounding both agree); NaN if the source has none."""
    return math.nan if math.isnan(source) else float(abs(chapter - source) < digit + 1e-9)


def million_parameters(model):
    """Parameters of a model, in millions."""
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def layers(model):
    """Convolutions and linear maps along the longest way through a model."""
    import torch

    graph = torch.fx.symbolic_trace(model).graph
    modules = dict(model.named_modules())
    longest = {}
    for node in graph.nodes:
        weighs = node.op == "call_module" and isinstance(
            modules[node.target], torch.nn.Conv2d | torch.nn.Linear
        )
        before = max((longest[other] for other in node.all_input_nodes), default=0)
        longest[node] = before + weighs
    return max(longest.values())


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity and model, fact or network, with its `source`; QUANTITIES says what each
    number is. Nothing here is random: all rows have the number of the first seed."""
    import torch
    import torchvision

    rows = []

    def found(quantity, name, value, source, column="fact"):
        rows.append({"quantity": quantity, column: name, "value": float(value), "source": source})

    counted = f"torchvision {torchvision.__version__.split('+')[0]}"
    with torch.device("meta"):  # shapes only
        models = {
            "ResNet-50": torchvision.models.resnet50(),
            "ResNet-152": torchvision.models.resnet152(),
            "VGG-19": torchvision.models.vgg19(),
            "GoogLeNet": torchvision.models.googlenet(init_weights=False, aux_logits=False),
        }
    for name, model in models.items():
        found("million_parameters", name, million_parameters(model), counted, "model")
        found("layers", name, layers(model), counted, "model")
    for fact, printed in LITERATURE.items():
        found("published", fact, printed.value, printed.where)
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.meta
    accuracy = weights["_metrics"]["ImageNet-1K"]["acc@5"]
    found("published", "torchvision's ResNet-50, one crop", 100 - accuracy, counted)

    for name, number in (("ResNet-50", 25.6), ("ResNet-152", 60.2)):
        same = agree(number, million_parameters(models[name]), 0.1)
        found("agrees", f"{name}, parameters", same, counted)
    for name, number in (("VGG-19", 19), ("GoogLeNet", 22)):
        found("agrees", f"{name}, layers", layers(models[name]) == number, counted)
    for fact, number in (
        ("plain, 20 layers, training", 15), ("plain, 20 layers, test", 18),
        ("plain, 56 layers, training", 25), ("plain, 56 layers, test", 28),
        ("ResNet-50, ten crops", 7.13),
        ("ResNet-152, ten crops", 6.71), ("ResNet-152, one crop", 6.71),
    ):  # fmt: skip
        printed = LITERATURE[fact]
        found("agrees", fact, agree(number, printed.value, printed.digit), printed.where)
    same = agree(7.13, 100 - accuracy, 0.01)
    found("agrees", "torchvision's ResNet-50, one crop", same, counted)

    person = LITERATURE["annotator A1"]
    found("agrees", "6.71 % is better than annotator A1", person.value > 6.71, person.where)
    for deeper, shallower in (
        ("ResNet-1202", "ResNet-110"),
        ("pre-activation ResNet-1001", "pre-activation ResNet-164"),
    ):
        better = LITERATURE[deeper].value < LITERATURE[shallower].value
        found("agrees", f"{deeper} gains", better, LITERATURE[deeper].where)
    for fact, (says, where) in PROVED.items():
        found("agrees", fact, says, where)

    inputs, smoothness, precision = 8, 2, 0.1
    shallow, deep = (
        factor * precision ** (-variables / smoothness)
        for factor, variables in ((1, inputs), (inputs - 1, 2))
    )
    found("units_by_theorem", "one hidden layer", shallow, f"{POGGIO}, theorem 1", "network")
    found("units_by_theorem", "tree", deep, f"{POGGIO}, theorem 2", "network")

    return tidy.from_rows([row | {"seed": settings["seeds"][0]} for row in rows], CONDITIONS)
