"""Words of findings that turn when the data turn."""

from types import SimpleNamespace

import pytest

from finicky.exhibits.phrases import compared, of_all, span


@pytest.mark.parametrize(
    "values, unit, places, said",
    [
        ([13.2, 4.1, 7], "%", 0, "4 to 13 %"),
        ([4.1, 4.2], "%", 0, "4 %"),
        ([-0.5, 0.01], "points", 1, "−0.5 to 0.0 points"),
        ([0.0123, 310], "", None, "0.012 to 310"),
        ([float("nan"), 2.0], "", 1, "2.0"),
        ([], "%", 1, "not measured"),
    ],
)
def test_smallest_to_largest(values, unit, places, said):
    assert span(values, unit, places) == said


@pytest.mark.parametrize("low, high, word", [(5, 6, "above"), (3, 5, "level"), (1, 2, "below")])
def test_bands_that_touch_are_level(low, high, word):
    other = SimpleNamespace(low=3, high=4)
    one = SimpleNamespace(low=low, high=high)
    assert compared(one, other, ("below", "level", "above")) == word


@pytest.mark.parametrize(
    "flags, said",
    [
        ([True, True], "all 2 starts"),
        ([True, False], "1 of 2 starts"),
        ([False, False], "none of 2 starts"),
        ([True], "1 of 1 starts"),
    ],
)
def test_how_many_of_all(flags, said):
    assert of_all(flags, "starts") == said
