"""The explorer as somebody uses it: a network in words, a cell, another one beside it, a link."""

import base64
import json
import re
import zlib

import pytest

from finicky.page import explorer


def selected(tab):
    return tab.locator("#explore-map td[aria-selected=true]")


def open_cell(tab, place):
    """Click a trained cell; returns its name for a screen reader."""
    cell = tab.locator("#explore-map td:not(.untrained)").nth(place)
    name = cell.get_attribute("aria-label")
    cell.click()
    tab.locator("#explore-cells article").first.wait_for()
    return name


def test_it_is_built_when_it_comes_into_view(visit):
    tab = visit()
    assert tab.locator("#explore-map td").count() == 0
    tab.locator("#explore").scroll_into_view_if_needed()
    tab.locator("#explore-map td").first.wait_for()
    assert tab.evaluate("location.hash") == ""


def test_nothing_of_the_grid_is_read_before_it_comes_into_view_nor_a_cell_before_it_opens(visit):
    """What stands in the page until then can still be changed."""
    tab = visit()
    tab.evaluate(
        """() => {
          const data = document.querySelector("#explorer-data");
          data.textContent = data.textContent.replaceAll("initialisation", "read late");
        }"""
    )
    tab.locator("#explore").scroll_into_view_if_needed()
    tab.locator("#explore-map td").first.wait_for()
    assert "read late" in tab.locator("#explore-map .corner").inner_text()
    known, first = "document.querySelector('#explorer-details').textContent", "#explore-map td"
    chunks = tab.evaluate(f"{known}.split('\\n')")
    tab.evaluate(f"{known} = Array(1000).fill({json.dumps(packed(LATE))}).join('\\n')")
    assert len(chunks) > 1
    tab.locator(f"{first}:not(.untrained)").first.click()
    tab.locator("#explore-cells article").first.wait_for()
    tab.locator("#explore-cells .run > summary", has_text="All numbers").click()
    assert "4711" in tab.locator("#explore-cells .run table").first.inner_text()


# A chunk of cells whose only seed is 4711.
LATE = [
    {"seeds": [4711], "outcomes": [0], "steps": [None], "accuracy": [[9000]], "loss": [[0.5]],
     "running": [[0.5]], "layers": {}}
] * explorer.CHUNK  # fmt: skip


def packed(values):
    return base64.b64encode(zlib.compress(json.dumps(values).encode())).decode()


def test_a_cell_opens_with_its_curves_and_its_exact_run(visit):
    tab = visit("#explore")
    name = open_cell(tab, 0)
    accuracy = re.search(r"(\d+\.\d+) %", name)
    if accuracy:
        assert f"Test accuracy {accuracy[1]}" in tab.locator("#explore-cells .outcome").inner_text()
    tab.locator("#explore-cells .chart").first.scroll_into_view_if_needed()
    tab.locator("#explore-cells canvas").first.wait_for()
    drawn = tab.locator("#explore-cells canvas").first.evaluate(
        """(canvas) => {
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )
    assert drawn > 3  # colours
    tab.locator("#explore-cells .run > summary", has_text="exact run").click()
    assert "grid:" in tab.locator("#explore-cells pre").inner_text()
    command = tab.locator("#explore-cells .command").inner_text()
    assert re.fullmatch(r"snakemake .* --configfile config/[a-z-]+\.yaml", command)


def test_two_cells_stand_side_by_side(visit):
    tab = visit("#explore")
    open_cell(tab, 0)
    tab.get_by_role("button", name="Keep, to compare").click()
    open_cell(tab, 3)
    tab.locator(".cells.two").wait_for()
    heads = tab.locator(".cells.two h3").all_inner_texts()
    assert [head[:3] for head in heads] == ["A: ", "B: "] and heads[0][3:] != heads[1][3:]
    assert re.match(r"B (ends|is)|One of", tab.locator(".versus").inner_text())
    left, right = (one.bounding_box() for one in tab.locator(".cells.two article").all())
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]


def test_the_link_gives_back_the_whole_view(visit):
    tab = visit("#explore")
    tab.select_option("#explore-by-show", "loss")
    open_cell(tab, 1)
    tab.get_by_role("button", name="Keep, to compare").click()
    open_cell(tab, 4)
    tab.locator(".cells.two").wait_for()
    link = tab.evaluate("location.hash")

    def view(tab):
        tab.locator(".cells.two").wait_for()
        parts = "#explore-about", "#explore-found", "#explore-map", "#explore-cells .versus"
        return [tab.locator(part).inner_text() for part in parts]

    assert link.startswith("#explore?") and view(visit(link)) == view(tab)


def test_other_axes_and_filters_give_another_map(visit):
    tab = visit("#explore")
    before = tab.locator("#explore-map").inner_text()
    tab.select_option("#explore-by-x", "depth")
    assert "depth" in tab.locator("#explore-map .corner").inner_text()
    assert tab.locator("#explore-map").inner_text() != before
    assert not tab.locator("#explore-by-depth").is_visible()
    options = tab.locator("#explore-by-show option").evaluate_all(
        "(all) => all.map((o) => o.value)"
    )
    assert {"accuracy", "diverged", "loss", "gradient", "dead"} == set(options)
    for measure in options:
        tab.select_option("#explore-by-show", measure)
        assert tab.locator("#explore-map td").first.inner_text()
        assert tab.locator("#explore-found").inner_text()


def test_arrow_keys_move_and_enter_opens(visit):
    tab = visit("#explore")
    assert tab.locator("#explore-map td[tabindex='0']").count() == 1
    tab.locator("#explore-map td[tabindex='0']").focus()
    place = (
        "[document.activeElement.parentElement.sectionRowIndex, document.activeElement.cellIndex]"
    )
    assert tab.evaluate(place) == [0, 1]
    for key, there in [
        ("ArrowRight", [0, 2]), ("ArrowDown", [1, 2]), ("Home", [1, 1]), ("ArrowUp", [0, 1]),
        ("ArrowLeft", [0, 1]),
    ]:  # fmt: skip
        tab.keyboard.press(key)
        assert tab.evaluate(place) == there, key
    tab.keyboard.press("Enter")
    tab.locator("#explore-cells article").wait_for()
    assert selected(tab).count() == 1
    assert tab.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    assert tab.locator("#explore-opened").inner_text().startswith("Opened: ")


@pytest.mark.parametrize(
    "words", ["tanh, 20 layers, RMSProp, batch norm", "relu 10 layers he adam"]
)
def test_a_network_in_words_is_answered_in_one_step(visit, words):
    tab = visit("#explore")
    tab.fill("#explore-words", words)
    tab.keyboard.press("Enter")
    answer = tab.locator("#explore-answer").inner_text()
    assert re.search(r"\d+\.\d+\s%|diverged|not trained in this report", answer), answer
    if "not trained" in answer:
        assert tab.locator("#explore-answer .near li").count()
    tab.locator("#explore-cells article").wait_for()


def answer_to(tab, words):
    tab.fill("#explore-words", words)
    tab.keyboard.press("Enter")
    return tab.locator("#explore-answer").inner_text()


def test_the_answer_names_what_was_filled_in_and_what_was_not_understood(visit):
    told = answer_to(visit("#explore"), "10-layer tanh, no batch norm, dropout")
    assert re.match(r"10 layers · plain · tanh: \d+\.\d+\s%\.", told), told
    assert "Not understood: “dropout”." in told
    assert "Filled in: dataset MNIST; " in told
    assert "initialisation Xavier (the one meant for the activation)" in told


def test_a_depth_that_the_grid_lacks_is_said_and_the_nearest_ones_shown(visit):
    tab = visit("#explore")
    told = answer_to(tab, "ResNet-50, Adam")
    assert told.startswith("depth 50 · residual · Adam: not trained in this report.")
    assert re.search(r"depth in this grid: 2 layers, .* and 56 layers\.", told)
    near = tab.locator("#explore-answer .near li").all_inner_texts()
    assert "56 layers" in near[0] and "instead of depth 50" in near[0]
    assert len({re.search(r"\d+ layers", one)[0] for one in near}) == len(near) > 1
    tab.locator("#explore-answer .run > summary").click()
    assert "depth: [50]" in tab.locator("#explore-answer pre").inner_text()


def test_diverged_and_untrained_are_said_in_words_and_drawn_as_patterns(visit):
    tab = visit("#explore")
    summary = tab.locator("#explore-diverged > summary")
    told = re.match(r"Which cells diverged: ([\d,]+) of [\d,]+", summary.inner_text())
    summary.click()
    listed = tab.locator("#explore-diverged li").all_inner_texts()
    assert len(listed) == int(told[1]) and not any("seeds" in one for one in listed)
    tab.locator("#explore-diverged li button").first.click()
    cell = selected(tab)
    assert "diverged" in cell.get_attribute("aria-label")
    pattern = "(cell) => getComputedStyle(cell).backgroundImage"
    assert "gradient" in cell.evaluate(pattern)
    assert tab.locator("#explore-key .pattern").count() == 3
