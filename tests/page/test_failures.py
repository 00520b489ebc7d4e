"""A report that could not be made whole says so first, and names every gap."""

FAILURES = [
    "the experiment losses failed: ValueError: <b>; log: results/smoke/logs/losses.log",
    "the figure F01 failed: killed, probably out of memory; log: results/smoke/logs/F01.log",
]


def test_a_whole_report_speaks_of_no_gaps(page):
    assert page.find(id="failures") is None and "has gaps" not in page.get_text()


def test_what_failed_is_named(inputs, render, words):
    inputs["record"] |= {"failures": FAILURES, "missing": 3}
    page = render()
    banners = [words(one) for one in page.select(".answer .banner")]
    said = "This report has gaps. 3 of 43 runs failed. What failed, and why ."
    assert [one for one in banners if "gaps" in one] == [said]
    listed = [words(one) for one in page.find(id="failures").find_next("ul").find_all("li")]
    assert listed == [line[0].upper() + line[1:] for line in FAILURES]


def test_runs_are_mentioned_only_if_some_failed(inputs, render, words):
    inputs["record"] |= {"failures": FAILURES, "missing": 0}
    banners = [words(one) for one in render().select(".answer .banner")]
    assert "This report has gaps. What failed, and why ." in banners
