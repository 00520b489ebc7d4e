"""Are losses of residual networks smoother than of plain ones? Slices, spectra, directions.

Slices through trained networks along random directions of the filters' own scale (Li et al. 2018),
Hessian spectra by Lanczos' method, and the angle between the way downhill and the way to where
training ends. The loss is that of the training images in training mode, batch norm included.
"""

import pandas as pd

TITLE = "Loss surfaces and Hessian spectra of plain and residual networks"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "width": ("count", "units of a hidden layer"),
    "depths": ("depths", "layers"),
    "images": ("images", "training images"),
    "epochs": (
        {"type": "integer", "minimum": 2, "maximum": 100000},
        "of training; the way to its end is looked at after each",
    ),
    "rates": ("rates", "of Adam, among which each kind of network has its own best"),
    "loss_images": ("images", "of these, that the surfaces and spectra are made of"),
    "directions": ("count", "random lines through each network"),
    "points": (
        {"type": "integer", "minimum": 5, "maximum": 1001},
        "on each line, from −span to span",
    ),
    "span": ("positive", "half the length of a line, in units of the filters' norms"),
    "plane_points": (
        {"type": "integer", "minimum": 3, "maximum": 201},
        "along each side of the planes that are drawn",
    ),
    "lanczos_steps": (
        {"type": "integer", "minimum": 5, "maximum": 1000},
        "products of the Hessian and a vector for each spectrum",
    ),
}  # fmt: skip
QUANTITIES = {
    "smoother": ("doublings", "log2 of the roughness of the plain network's loss over that of the "
                 "residual one's; roughness: largest second derivative (differences) along random "
                 "lines of the filters' scale, mean over lines, trained"),
    "more_convex": ("pp", "share of points on these lines where the loss bends down: plain minus "
                    "residual network"),
    "more_uniform": ("doublings", "log2 of the evenness of the residual network's Hessian "
                     "eigenvalues over that of the plain one's; evenness: (mean |λ|)² / mean λ², "
                     "1 if all have the same size"),
    "aims_better": ("", "cosine of the angle between −gradient and the way to where training ends: "
                    "residual minus plain network"),
    "more_accurate": ("pp", "test accuracy: residual minus plain network"),
    "negative_share_gap": ("pp", "negative eigenvalues' share of Σ|λ|: plain minus residual"),
    "roughness": ("nats", "largest second derivative of the loss along such lines, mean"),
    "bends_down": ("%", "points on them where the loss bends down"),
    "evenness": ("", "(mean |λ|)² / mean λ² of the Hessian's eigenvalues"),
    "largest_eigenvalue": ("", "of the Hessian of the training loss"),
    "negative_share": ("%", "of Σ|λ|: negative eigenvalues of the Hessian"),
    "most_negative": ("%", "most negative eigenvalue's size over the largest eigenvalue"),
    "cosine": ("", "of the angle between −gradient and the way to where training ends"),
    "loss_at": ("nats", "training loss on a plane through the trained network, first seed"),
    "density_at": ("", "share of eigenvalues, as the weights of Lanczos' method put it"),
    "train_loss": ("nats", "where training ends, of the images that the surfaces are made of"),
    "test_accuracy": ("%", "after training"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "block": "level",
    "batch_norm": ["without batch norm", "with batch norm"],
    "stage": ["at the start", "trained"],
    "rate": ["chapter", "own best"],
    "along": ["first step", "all of training"],
    "epoch": "integer",
    "x": "number",
    "y": "number",
    "eigenvalue": "number",
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
