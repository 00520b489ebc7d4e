"""What the page may cost, as far as that does not depend on the machine."""

from . import bars


def test_size_and_elements_of_a_page_just_opened(visit, file):
    for what, number in bars.cost(visit(), file).items():
        assert number <= bars.LIMITS[what], what


def test_every_bar_is_measured(browser, file):
    found = bars.measure(browser, file)
    assert all(number > 0 for number in found.values())
    assert {"search, ms", "open a cell, ms", "printed pages"} <= set(found)
