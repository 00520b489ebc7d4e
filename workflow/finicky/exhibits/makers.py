"""Making one figure or table of an exhibit by its name."""

import importlib

from finicky.exhibits import style


def figure(slug, name, table, *ledgers):
    """Draw a figure, such as F01 of `mini-project`, in the house's style.

    table: the experiment's; ledgers: the ledger too, for a figure that shows the chapter's numbers.
    Returns the Matplotlib figure and the table of what it shows; None where there is nothing to
    draw it from.
    """
    with style.context():
        return _maker(slug, name)(table, *ledgers)


def refilled(slug, name, table, ledger):
    """Refill a table of the chapter, as a tables.Table; None where there is nothing to refill it
    from."""
    made = _maker(slug, name)(table, ledger)
    return made if made is not None and made.seeds else None


def _maker(slug, name):
    module = importlib.import_module(f"finicky.exhibits.{slug.replace('-', '_')}")
    return getattr(module, name.lower().replace("-", "_"))
