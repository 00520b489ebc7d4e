"""What holds for every experiment's table."""

from finicky.experiments import tidy


def assert_whole(table, experiment):
    """It is as its experiment declares, has all quantities, and no number twice."""
    tidy.check(table, experiment)
    assert set(table["quantity"]) == set(experiment.QUANTITIES)
    assert not table.duplicated(["quantity", "seed", *experiment.CONDITIONS]).any()
