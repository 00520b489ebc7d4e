"""For how long networks were trained: the budget that every sentence about them names.

An experiment declares it once, as a template in its module (declarations.BUDGET), such as
"{images} images of {dataset}, {epochs} epochs". What stands in braces is a column of its table,
where a row has it, or a setting: so no number is typed twice, and each preset says its own.
"""

import re

from finicky import declarations
from finicky.evidence.words import FEW
from finicky.labels import in_order, label, listed, place

LISTED = 3  # so many numbers are listed one by one
DATASET = "dataset"
NOUNS = "epochs|images|steps|passes|rounds|layers|bits"


def words(template, found):
    """The variants of one template in words: "10,000 images of MNIST and Fashion-MNIST, 3 epochs;
    60,000 images of MNIST, 1 or 10 epochs". Empty without any."""
    names = declarations.placeholders(template)
    groups = [{name: (value,) for name, value in zip(names, one, strict=True)} for one in found]
    groups.sort(key=lambda group: [_order(group[name][0]) for name in names])
    for name in sorted(names, key=lambda name: name != DATASET):
        groups = _merged(groups, name)
    return "; ".join(_filled(template, group) for group in groups)


def of_parts(parts):
    """The budgets of a claim's parts in words: one for all, or, of few parts that differ, each
    part's with its name. Empty where no network was trained."""
    said = {}
    for part in parts:
        if budget := words(part.template, part.trained):
            said.setdefault(budget, []).append(part)
    if len(said) <= 1 or len(parts) > FEW:
        by_template = {}
        for part in parts:
            by_template.setdefault(part.template, set()).update(part.trained)
        return "; ".join(filter(None, (words(*one) for one in by_template.items())))
    return "; ".join(
        f"{listed([part.spec['name'] for part in named])}: {budget}"
        for budget, named in said.items()
    )


def _order(value):
    return (1, *place(value)) if isinstance(value, str) else (0, _smallest(value))


def _smallest(value):
    return min(map(_smallest, value)) if isinstance(value, tuple) else value


def _merged(groups, name):
    """Budgets that differ in one name only, as one budget with all its values."""
    together = {}
    for group in groups:
        others = tuple((key, value) for key, value in group.items() if key != name)
        together.setdefault(others, []).extend(group[name])
    return [dict(others) | {name: tuple(values)} for others, values in together.items()]


def _filled(template, group):
    text = template
    for name, values in group.items():
        text = text.replace("{" + name + "}", _said(values))
    one = rf"(?<![\w,.])1 ({NOUNS})\b"
    return re.sub(one, lambda found: f"1 {_singular(found[1])}", text)


def _singular(noun):
    return noun.removesuffix("es") if noun == "passes" else noun.removesuffix("s")


def _said(values):
    """The values of one name: names in a row, few numbers one by one, more as a range."""
    flat = []
    for value in values:
        flat += value if isinstance(value, tuple) else [value]
    flat = list(dict.fromkeys(flat))
    if all(isinstance(value, str) for value in flat):
        return listed([label(value) for value in in_order(flat)])
    numbers = sorted(flat)
    if len(numbers) > LISTED:
        return f"{label(numbers[0])} to {label(numbers[-1])}"
    return listed([label(value) for value in numbers], "or")
