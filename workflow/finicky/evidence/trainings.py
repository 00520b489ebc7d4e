"""Which trainings are behind some rows: the values that an experiment's budget has there.

An experiment declares its budget once, as a template (declarations.BUDGET), such as
"{images} images of {dataset}, {epochs} epochs". What stands in braces is a column of its table,
where a row has it, or a setting. What is made of it in words is in budgets.py, which nothing that
measures may depend on.
"""

from finicky import declarations


def variants(template, rows, settings, whole=None):
    """The different budgets of some rows: a set of tuples, one value for each name in the template.

    template: as an experiment declares it; rows: the rows of a part, a DataFrame; settings: the
    experiment's; whole: all rows of the part's quantity, if these are not all. A column that has
    values says it, and rows without one are not trained; else the setting of that name does.
    Settings in a mapping, or in a list of them ("{trainings.images} images, {trainings.epochs}
    epochs"), vary together. A name that is neither a column with values nor a setting that can be
    said: no budget at all.
    """
    names = declarations.placeholders(template)
    whole = rows if whole is None else whole
    columns = [name for name in names if name in whole and whole[name].notna().any()]
    found = set()
    for _, row in rows[columns].dropna().drop_duplicates().iterrows():
        given = {name: row[name] for name in columns}
        for bundle in _bundles(names, settings):
            known = {name: (given | bundle).get(name, settings.get(name)) for name in names}
            if any(value is None or isinstance(value, dict) for value in known.values()):
                return set()
            found.add(tuple(_plain(known[name]) for name in names))
    return found


def _bundles(names, settings):
    """What the dotted names stand for: a dict for each mapping of their setting."""
    dotted = [name for name in names if "." in name]
    if not dotted:
        return [{}]
    mappings = settings.get(dotted[0].split(".")[0]) or []
    mappings = [mappings] if isinstance(mappings, dict) else mappings
    return [{name: one.get(name.split(".")[1]) for name in dotted} for one in mappings]


def _plain(value):
    """A value that can be compared and sorted: lists as tuples, whole floats as integers."""
    if isinstance(value, list | tuple):
        return tuple(_plain(one) for one in value)
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
