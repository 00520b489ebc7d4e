"""The ten-layer experiment against numbers worked out by hand."""

import pytest

from finicky.exhibits import style
from finicky.exhibits import ten_layers as shown
from finicky.experiments import ten_layers

from .sentences import finding

SAID = {"quantity": "test_accuracy", "where": {"init": "he", "epoch": 1}, "number": 92}
LEDGER = {"claims": [{"id": "C062", "parts": [SAID]}]}

TABLE = {"purposes": ["comparison", "ten-layers"], "images": 60_000, "epochs": 10}
STARTS = TABLE | {"epochs": 1}


def never(run):
    return "finite", None


def rows_of(table, quantity, columns):
    return table.loc[table["quantity"] == quantity, columns].values.tolist()


def test_accuracy_after_each_epoch_of_runs_for_this_purpose_only(make_tables):
    tables = make_tables(
        TABLE | {"seed": 0}, STARTS | {"seed": 0, "init": "lecun"}, {"seed": 0},
        accuracy=lambda run: (92.0, 98.0), end=never,
    )  # fmt: skip
    table = ten_layers.measure({}, tables)
    rows = rows_of(table, "test_accuracy", ["init", "epoch", "value"])
    assert rows[0] == ["he", 1, 92.0]
    assert rows[9] == ["he", 10, pytest.approx(98.0 - 6 * 0.55**9)]
    assert rows[10:] == [["lecun", 1, 92.0]]


def test_nan_within_the_run_the_first_epoch_and_100_steps(make_tables):
    # 938 steps an epoch
    step = {0: 40, 1: 938, 2: 939}
    tables = make_tables(
        TABLE | {"init": "normal_std_1", "seed": list(step)},
        TABLE | {"init": "he", "seed": 0},
        end=lambda run: ("nan", step[run["seed"]]) if run["init"] != "he" else never(run),
    )
    table = ten_layers.measure({}, tables)
    assert rows_of(table, "nan_reached", "value") == [1, 1, 1]
    assert rows_of(table, "nan_in_first_epoch", "value") == [1, 1, 0]
    assert rows_of(table, "nan_within_100_steps", "value") == [1, 0, 0]
    assert rows_of(table, "nan_reached", "init") == ["normal_std_1"] * 3


def test_both_readings_of_a_tiny_scale(make_tables):
    accuracy = {"normal_std_0.0001": 11.35, "normal_std_0.01": 40.0, "normal_std_0.1": 90.0}
    tables = make_tables(
        STARTS | {"init": list(accuracy), "seed": 0},
        accuracy=lambda run: (accuracy[run["init"]],) * 2,
        end=never,
    )
    rows = rows_of(ten_layers.measure({}, tables), "below_twice_chance", ["init", "value"])
    assert rows == [["normal_std_0.0001", pytest.approx(8.65)], ["normal_std_0.01", -20.0]]


def test_he_against_the_scale_that_the_other_seeds_choose(make_tables):
    # 0.1 is best for seed 0, 0.3 for the others; the runs of He last longer than the scales'
    def accuracy(run):
        if run["init"] == "he":
            return 95.0, 99.0
        best = "normal_std_0.1" if run["seed"] == 0 else "normal_std_0.3"
        percent = 93.0 if run["init"] == best else 90.0
        return percent, percent

    tables = make_tables(
        TABLE, STARTS | {"init": ["normal_std_0.1", "normal_std_0.3", "lecun"]},
        accuracy=accuracy, end=never,
    )  # fmt: skip
    table = ten_layers.measure({}, tables)
    rows = rows_of(table, "he_minus_best_scale", ["seed", "epoch", "best_deviation", "value"])
    assert rows[0] == [0, 1, 0.3, 5.0]
    assert rows[1:] == [[seed, 1, 0.3, 2.0] for seed in (1, 2, 3, 4)]


def test_he_minus_xavier_after_the_first_and_the_tenth_epoch(make_tables):
    tables = make_tables(
        TABLE | {"init": ["he", "xavier"], "seed": 0},
        accuracy=lambda run: (92.0, 92.0) if run["init"] == "he" else (85.0, 85.0), end=never,
    )  # fmt: skip
    table = ten_layers.measure({}, tables)
    assert rows_of(table, "he_minus_xavier", ["epoch", "value", "a", "b"]) == [
        [1, 7.0, 92.0, 85.0],
        [10, 7.0, 92.0, 85.0],
    ]


def test_the_figure_has_a_column_per_optimizer_and_names_every_start(rich_tables):
    with style.context():
        fig, data = shown.f15(ten_layers.measure({}, rich_tables), LEDGER)
    assert [ax.get_title(loc="left") for ax in fig.axes[:2]] == ["SGD at 0.01", "Adam at 0.001"]
    said = {text.get_text() for ax in fig.axes for text in ax.texts}
    assert {"He", "Xavier", "zeros", "NaN: 4 of 5"} <= said or "NaN: 5 of 5" in said
    assert set(data["init"]) >= {"lecun", "he"} and data["n"].eq(5).all()
    assert "Xavier's under Adam at 0.001" in finding(fig)
    marks = [line for line in fig.axes[0].lines if line.get_color() == style.CHAPTER]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in marks] == [(1, 92)]
    (key,) = fig.legends
    assert [text.get_text() for text in key.get_texts()] == ["chapter: He"]
    assert {line.get_marker() for line in [*key.get_lines(), *marks]} == {"o"}


def test_a_start_that_became_nan_has_no_point_and_its_name_in_the_panel(make_tables):
    tables = make_tables(
        TABLE | {"init": ["he", "normal_std_1"]}, accuracy=lambda run: (92.0, 98.0),
        end=lambda run: never(run) if run["init"] == "he" else ("nan", 40),
    )  # fmt: skip
    with style.context():
        fig, _ = shown.f15(ten_layers.measure({}, tables), {"claims": []})
    above, below = fig.axes
    assert any(text.get_text() == "N, σ = 1: NaN" for text in above.texts)
    assert any(text.get_text() == "NaN: 5 of 5" for text in below.texts)
    plum = style.level_style("normal_std_1").colour
    drawn = [line for ax in fig.axes for line in ax.lines if line.get_color() == plum]
    assert all(len(line.get_xdata()) == 0 for line in drawn)


@pytest.mark.parametrize(
    "he, said", [(95.0, "ahead of Xavier's"), (85.0, "level with"), (80.0, "behind Xavier's")]
)
def test_the_finding_turns_with_the_data(make_tables, he, said):
    tables = make_tables(
        TABLE | {"init": ["he", "xavier"]},
        accuracy=lambda run: (he, he) if run["init"] == "he" else (85.0, 85.0), end=never,
    )  # fmt: skip
    with style.context():
        fig, _ = shown.f15(ten_layers.measure({}, tables), {"claims": []})
    assert f"He initialisation is {said}" in finding(fig)
    assert f"({he:.1f} and 85.0 %)" in finding(fig)
