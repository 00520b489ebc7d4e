"""The small networks of the experiments on normalisation, against torch.nn."""

import pytest
import torch
from torch import nn

from finicky.engine import train as engine
from finicky.experiments import normalised, stacked
from finicky.experiments.stacked import Normalisation

from .engine_fixtures import TinyDataset

SETTINGS = {"data": "nowhere", "device": "cpu"}


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset(monkeypatch):
    tiny = TinyDataset()
    monkeypatch.setattr(engine, "Dataset", lambda *_: tiny)
    return normalised.prepared("mnist", SETTINGS, 150)


def test_a_pixel_is_the_mean_of_four(dataset):
    whole = TinyDataset()
    assert dataset.train.images.shape == (150, 196) and dataset.train.images.dtype == torch.uint8
    for split in ("train", "validation", "test"):
        small, large = getattr(dataset, split), getattr(whole, split)
        image, row, column = 3, 5, 13
        four = large.images[image].view(28, 28)[10:12, 26:28].double().mean()
        assert abs(small.images[image, row * 14 + column] - four) <= 0.5
        assert (small.labels == large.labels).all()


def norms(channels, _):
    return [Normalisation("batch", 2, channels)]


@pytest.mark.parametrize("kind", [normalised.FULLY, normalised.CONVOLUTIONAL])
def test_networks_are_those_of_torch_nn(kind, dataset):
    network = normalised.network(kind, [0, 1], before=norms, bias=False, width=12)
    x = dataset.normalise(dataset.train.images[:20])
    ours = stacked.predict(network.train(), x)
    weights = [layer.weight[1] for layer in network if hasattr(layer, "weight")]
    h = x.view(-1, 1, 14, 14) if kind == normalised.CONVOLUTIONAL else x
    for weight in weights[:-1]:
        if kind == normalised.CONVOLUTIONAL:
            h = nn.functional.conv2d(h, weight, stride=2, padding=1)
            h = nn.BatchNorm2d(h.shape[1])(h).relu()
        else:
            h = nn.BatchNorm1d(12)(h @ weight).relu()
    torch.testing.assert_close(ours[:, 1], h.flatten(1) @ weights[-1], rtol=1e-4, atol=1e-4)
    assert sum(hasattr(layer, "bias") and layer.bias is not None for layer in network) == 1


def test_layers_before_and_after_stand_there():
    def after(channels, layer):
        return [stacked.Dropout([0], 0.1, layer)]

    names = [
        type(layer).__name__
        for layer in normalised.network(
            "fully connected", [0], norms, after, "tanh", hidden_layers=2, width=4
        )
    ]
    assert names == ["Dense", "Normalisation", "Activation", "Dropout"] * 2 + ["Dense"]


@pytest.mark.parametrize("kind", [normalised.FULLY, normalised.CONVOLUTIONAL])
def test_statistics_of_all_images_are_those_of_one_batch_of_all(kind, dataset):
    """Passed through at once in training mode, every layer is normalised by all images."""
    network = normalised.network(kind, [0, 1], before=norms, width=12)
    normalised.take_statistics(network, dataset)
    ours = stacked.predict(network.eval(), dataset.normalise(dataset.test.images))
    x = dataset.normalise(dataset.train.images)
    averages = []
    for layer in normalised.batch_norms(network):
        averages.append((layer.running_mean.clone(), layer.running_var.clone()))
        layer.running_mean.zero_(), layer.running_var.zero_()
    stacked.predict(network.train(), x)  # momentum 0.1: a tenth of the batch's statistics
    for layer, (mean, variance) in zip(normalised.batch_norms(network), averages, strict=True):
        torch.testing.assert_close(10 * layer.running_mean, mean, rtol=1e-3, atol=1e-4)
        bessel = 150 / 149 if kind == normalised.FULLY else 1
        torch.testing.assert_close(10 * layer.running_var, bessel * variance, rtol=2e-3, atol=1e-4)
    again = stacked.predict(network.eval(), dataset.normalise(dataset.test.images))
    assert not torch.allclose(ours, again, rtol=1e-2)
