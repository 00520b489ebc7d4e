"""The page's colours, for drawings that carry them: a page without its style is plain, but true."""

import re

# What a verdict or the state of a condition is painted with: a variable of report/style.css.
PAINTED = {
    "reproduced": "yes",
    "holds": "yes",
    "reproduced-under-conditions": "partly",
    "not-reproduced": "no",
    "fails": "no",
    "behind": "no",
    "undecided": "open",
    "opinion": "view",
    "not-measured": "none",
    "dropped": "none",
}


def colours(css):
    """{variable, or verdict or state as in PAINTED: its colour, #rrggbb} in the light theme.

    css: the text of report/style.css, which begins with them; the dark ones follow in a query.
    """
    light = css[: css.index("@media")]
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))
    return found | {name: found[variable] for name, variable in PAINTED.items()}
