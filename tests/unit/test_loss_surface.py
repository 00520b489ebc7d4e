"""Loss surfaces: losses and Hessians against autograd, directions of the filters' scale, spectra of
matrices whose eigenvalues are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from finicky.engine import train
from finicky.engine.network import Stacked
from finicky.exhibits import loss_surface as exhibit
from finicky.experiments import chains
from finicky.experiments import loss_surface as experiment

from .engine_fixtures import TinyDataset
from .measurements import assert_whole
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "width": 4, "depths": [6, 8], "images": 150, "epochs": 2,
    "rates": [0.001, 0.01], "loss_images": 30, "directions": 2, "points": 5, "span": 1.0,
    "plane_points": 5, "lanczos_steps": 6, "seeds": [0, 1], "data": "nowhere", "device": "cpu",
}  # fmt: skip
BLOCKS = ["plain", "batch_norm", "residual", "batch_norm_residual"]


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset():
    return TinyDataset()


def surface(dataset, block):
    return experiment.Surface(chains.Kind(6, block, 4), *chains.inputs(dataset, "train", 30))


def parameters(kind):
    flat = chains.starts(kind, [0, 1]).double()
    random = torch.Generator().manual_seed(2)
    return flat + 0.1 * torch.randn(flat.shape, generator=random, dtype=flat.dtype)


# ---- The loss -----------------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS)
def test_the_loss_is_the_networks(dataset, block):
    one = surface(dataset, block)
    flat = parameters(one.kind)
    chain = chains.folded(one.kind, flat, one.images)
    logits = chain.last(chain.hidden(one.images)[-1])
    expected = [functional.cross_entropy(of_one, one.labels) for of_one in logits]
    torch.testing.assert_close(one.losses(flat), torch.stack(expected))


@pytest.mark.parametrize("block", BLOCKS)
def test_products_are_those_of_each_networks_hessian(dataset, block):
    one = surface(dataset, block)
    flat = parameters(one.kind)
    v = torch.randn(flat.shape, generator=torch.Generator().manual_seed(3), dtype=flat.dtype)
    step = 1e-6
    ends = [one.gradients(flat + sign * step * v) for sign in (1, -1)]
    torch.testing.assert_close(
        one.products(flat)(v), (ends[0] - ends[1]) / (2 * step), rtol=1e-4, atol=1e-5
    )


def test_gradients_do_not_depend_on_how_many_are_taken_together(dataset):
    one = surface(dataset, "residual")
    flat = parameters(one.kind)
    together = one.gradients(flat)
    one.together = 1
    torch.testing.assert_close(one.gradients(flat), together)


def test_the_way_downhill_is_the_way_to_the_end_if_it_is_walked(dataset):
    one = surface(dataset, "plain")
    flat = parameters(one.kind)
    gradient = one.gradients(flat)
    for end, cosine in ((flat - 3 * gradient, 1), (flat + gradient, -1)):
        assert one.ways([flat, end])[0] == pytest.approx([cosine, cosine])


# ---- Slices -------------------------------------------------------------------------------------


def test_directions_have_the_filters_scale_and_follow_it():
    kind = chains.Kind(6, "batch_norm", 4)
    flat = parameters(kind)[0]
    way = experiment.direction(kind, flat, 0, 1)
    own, drawn = (Stacked(kind.architecture, part[None]) for part in (flat, way))
    for weights, scaled in zip(own.weights, drawn.weights, strict=True):
        torch.testing.assert_close(scaled.norm(dim=1), weights.norm(dim=1))
    assert all((part == 0).all() for part in (*drawn.biases, *drawn.gammas, *drawn.betas))
    own.weights[1].mul_(10)  # of `flat`: rescaled layers get rescaled directions
    again = Stacked(kind.architecture, experiment.direction(kind, flat, 0, 1)[None])
    torch.testing.assert_close(again.weights[1], 10 * drawn.weights[1])
    torch.testing.assert_close(again.weights[2], drawn.weights[2])


def test_the_plane_is_spanned_by_two_directions():
    """A linear loss on it is linear in x and y."""
    kind = chains.Kind(6, "plain", 4)
    flat = parameters(kind)[0]
    slope = torch.randn(len(flat), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    linear = type("Linear", (), {"kind": kind, "losses": staticmethod(lambda flat: flat @ slope)})
    one, other = (experiment.direction(kind, flat.double(), 0, n) @ slope for n in (0, 1))
    rows = [*experiment.plane(linear, flat, 0, SETTINGS)]
    assert len(rows) == 25
    for row in rows:
        expected = flat.double() @ slope + row["x"] * one + row["y"] * other
        assert row["value"] == pytest.approx(float(expected))


def bowl(curvature):
    """A surface of the loss curvature/2 |x|², as `slices` asks for one."""
    kind = chains.Kind(6, "plain", 4)
    losses = lambda flat: curvature / 2 * (flat**2).sum(1)  # noqa: E731
    return type("Bowl", (), {"kind": kind, "losses": staticmethod(losses)})


def test_slices_measure_curvature():
    flat = chains.starts(chains.Kind(6, "plain", 4), [0])[0]
    squared = float((flat.double() ** 2).sum())  # of a direction too, as its parts have the norms
    found = experiment.slices(bowl(3.0), flat, 0, SETTINGS)
    assert found == {"roughness": pytest.approx(3 * squared, rel=1e-4), "bends_down": 0}
    assert experiment.slices(bowl(-3.0), flat, 0, SETTINGS)["bends_down"] == 100


# ---- Spectra ------------------------------------------------------------------------------------


def symmetric(eigenvalues, seed=0):
    random = np.random.default_rng(seed)
    q, _ = np.linalg.qr(random.normal(size=(len(eigenvalues), len(eigenvalues))))
    return torch.tensor((q * eigenvalues) @ q.T)


def spectra_of(*spectra, steps):
    matrices = torch.stack([symmetric(eigenvalues) for eigenvalues in spectra])
    start = torch.randn(len(spectra), len(spectra[0]), dtype=torch.float64,
                        generator=torch.Generator().manual_seed(1))  # fmt: skip
    found = experiment.lanczos(lambda v: (matrices @ v[..., None])[..., 0], start, steps)
    return [experiment.Spectrum(*of_one, len(spectra[0])) for of_one in zip(*found, strict=True)]


def test_all_steps_find_all_eigenvalues():
    eigenvalues = np.array([-3.0, -0.5, 0.2, 1, 2, 7])
    for spectrum in spectra_of(eigenvalues, eigenvalues[::-1] * 2, steps=6):
        scale = spectrum.values.max() / 7
        assert spectrum.values / scale == pytest.approx(sorted(eigenvalues))
        numbers = spectrum.numbers
        sizes = np.abs(eigenvalues)
        assert numbers["evenness"] == pytest.approx(sizes.mean() ** 2 / (sizes**2).mean())
        assert numbers["negative_share"] == pytest.approx(100 * 3.5 / sizes.sum())
        assert numbers["largest_eigenvalue"] == pytest.approx(7 * scale)
        assert numbers["most_negative"] == pytest.approx(300 / 7)


def test_few_steps_find_outliers_and_sample_the_rest():
    random = np.random.default_rng(5)
    eigenvalues = np.concatenate([random.normal(0, 1, 997), [40, 80, 100]])
    (spectrum,) = spectra_of(eigenvalues, steps=20)
    sizes = np.abs(eigenvalues)
    numbers = spectrum.numbers
    assert numbers["largest_eigenvalue"] == pytest.approx(100)
    assert numbers["evenness"] == pytest.approx(sizes.mean() ** 2 / (sizes**2).mean(), rel=0.1)
    assert sum(spectrum.shares) == pytest.approx(1)
    below = sizes[eigenvalues < 0].sum() / sizes.sum()
    assert numbers["negative_share"] == pytest.approx(100 * below, abs=5)


def test_a_matrix_that_is_nan_leaves_the_others_alone():
    eigenvalues = np.array([1.0, 2, 3, 4])
    matrices = torch.stack([symmetric(eigenvalues), torch.full((4, 4), torch.nan).double()])
    start = torch.ones(2, 4, dtype=torch.float64)
    values, *_ = experiment.lanczos(lambda v: (matrices @ v[..., None])[..., 0], start, 4)
    assert values[0] == pytest.approx(eigenvalues) and np.isnan(values[1]).all()


# ---- Comparisons --------------------------------------------------------------------------------


def rows(block, rates, **numbers):
    return pd.DataFrame(
        [
            {"quantity": quantity, "value": factor * value, "block": block, "seed": 0,
             "stage": "trained", "rate": rate, "along": np.nan, "outcome": "finite",
             "images": 150, "epochs": 2}
            for rate, factor in rates.items()
            for quantity, value in numbers.items()
        ]
    )  # fmt: skip


def test_comparisons_say_what_they_are_called():
    numbers = {"roughness": 8.0, "bends_down": 30.0, "evenness": 0.01, "cosine": 0.1}
    plain = rows("plain", {"chapter": 1, "own best": 2}, **numbers)
    numbers = {"roughness": 2.0, "bends_down": 10.0, "evenness": 0.04, "cosine": 0.3}
    residual = rows("residual", {"chapter": 1}, **numbers)
    found = {(r["quantity"], r["rate"]): r["value"] for r in experiment.compared(plain, residual)}
    assert found["smoother", "chapter"] == 2 and found["smoother", "own best"] == 3
    assert found["more_convex", "chapter"] == 20 and found["more_convex", "own best"] == 50
    assert found["more_uniform", "chapter"] == 2 and found["more_uniform", "own best"] == 1
    assert found["aims_better", "chapter"] == pytest.approx(0.2)
    both_chapter = list(experiment.compared(plain[:4], residual))
    assert {row["rate"] for row in both_chapter} == {"chapter"}


def test_a_small_measurement_is_tidy_and_shown(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *arguments: dataset)
    table = experiment.measure(SETTINGS, {})
    assert_whole(table, experiment)
    densities = table[table["quantity"] == "density_at"]
    assert densities.groupby("block")["value"].sum().to_numpy() == pytest.approx(1)
    assert set(densities["depth"]) == {8} and set(densities["seed"]) == {0}
    centre = table[(table["quantity"] == "loss_at") & (table["x"] == 0) & (table["y"] == 0)]
    at = table[(table["quantity"] == "train_loss") & (table["depth"] == 8) & (table["seed"] == 0)]
    for row in centre.itertuples():
        same = at[(at["block"] == row.block) & (at["rate"] == row.rate)]["value"]
        assert row.value == pytest.approx(same.item(), rel=1e-4)
    fig, behind = exhibit.f24(table)
    assert "networks of 8 layers" in finding(fig) and len(behind)
    chapter = (table["quantity"] == "evenness") & (table["rate"] == "chapter")
    for block, value in (("residual", 0.5), ("plain", 0.1), ("batch_norm_residual", 0.1)):
        table.loc[chapter & (table["block"] == block), "value"] = value
    last = table["seed"] == table["seed"].max()
    table.loc[chapter & (table["block"] == "batch_norm"), "value"] = 0.05
    table.loc[chapter & (table["block"] == "batch_norm") & last, "value"] = 0.2
    said = finding(exhibit.f24(table)[0])
    assert "residual 0.5 above plain 0.1, BN + residual 0.1 level with batch norm 0." in said
