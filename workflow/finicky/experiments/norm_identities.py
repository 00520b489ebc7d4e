"""Are the chapter's formulas of batch norm right, and what do they promise?

Every formula is written out in NumPy as the chapter prints it and compared with PyTorch's autograd
in float64, each one by itself: what goes into a formula comes from autograd, so that an error in
one does not spread to the next. Networks are looked at before the first step only.
"""

import pandas as pd

TITLE = "Batch norm: formulas, and networks at the start"
READS = []
DATASETS = ["mnist"]
SETTINGS = {
    "trials": ("count", "random cases of each identity, per seed"),
    "width": ("widths", "units of a hidden layer of the networks at their start"),
    "depth": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 10, "multipleOf": 2, "maximum": 1000}},
        "their layers",
    ),
    "batch_sizes": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 4, "maximum": 4096}},  # two or three: no law
        "images that they are shown at once; 64 for the claim",
    ),
}  # fmt: skip
QUANTITIES = {
    "mean_error": ("deviations", "mean of a normalised feature, largest"),
    "variance_missing": ("", "1 minus the variance of a normalised feature, ε = 10⁻⁵, largest"),
    "variance_law_error": ("", "that variance against σ²/(σ² + ε), largest relative error"),
    "variance_error_without_eps": ("", "1 minus the variance for ε = 0, largest absolute value"),
    "network_variance_missing": ("", "1 minus the variance of the typical normalised unit behind "
                                 "the second of ten layers, at the start"),
    "undone_error": ("", "features against what γ = √(σ² + ε), β = μ of their own batch make of "
                     "them, largest relative error"),
    "undone_elsewhere": ("deviations", "change of other batches of the same features by the γ and "
                         "β that undo one batch, root mean square, largest"),
    "undone_in_evaluation": ("", "the same with running statistics equal to those that γ and β "
                             "undo, largest relative error"),
    "jacobian_error": ("", "largest relative error of ∂x̂/∂x"),
    "derivative_bounded": ("0/1", "1 if the norm of ∂x̂/∂x was at most 1/√ε in every trial"),
    "largest_derivative": ("", "largest norm of ∂x̂/∂x found; 1/√ε is 316"),
    "largest_derivative_without_eps": ("", "the same for ε = 0, features of the same deviations"),
    "does_not_explode": ("0/1", "0 if the gradient by the sums of the first hidden layer is more "
                         "than 1000 times as long as by those of the last one, at the start"),
    "gradient_growth": ("×", "factor by which the gradient by a layer's sums is longer than that "
                        "by the next one's, geometric mean over the middle layers, at the start"),
    "growth_law": ("×", "the same by the exact law of infinitely wide networks"),
    "gamma_error": ("", "largest relative error of ∂L/∂γ"),
    "beta_error": ("", "largest relative error of ∂L/∂β"),
    "normalised_error": ("", "largest relative error of ∂L/∂x̂"),
    "variance_gradient_error": ("", "largest relative error of ∂L/∂σ²"),
    "mean_gradient_error": ("", "largest relative error of ∂L/∂μ"),
    "input_error": ("", "largest relative error of ∂L/∂x, three paths"),
    "simplified_error": ("", "largest relative error of ∂L/∂x, simplified form"),
    "summary_error": ("", "largest relative error of ∂L/∂x, form of the summary"),
    "centred_error": ("", "mean of ∂L/∂x over its root mean square, largest"),
    "correlation_left": ("", "correlation of ∂L/∂x and x̂, ε = 10⁻⁵, largest absolute value"),
    "correlation_without_eps": ("", "the same for ε = 0"),
    "bias_gradient": ("", "gradient by the bias before batch norm, largest over the largest by β"),
    "bias_effect": ("", "change of the outputs by another bias, largest relative"),
    "bias_effect_in_evaluation": ("", "the same in evaluation mode, the running statistics kept; "
                                  "smallest"),
    "bias_gradient_after": ("", "gradient by the bias where batch norm comes after ReLU, over the "
                            "largest by β; smallest"),
    "nan_without_eps": ("0/1", "1 if a constant feature became NaN for ε = 0 in every trial"),
    "finite_with_eps": ("0/1", "1 if it stayed finite for ε = 10⁻⁵ in every trial"),
    "layer_is_identity": ("0/1", "1 if batch norm with γ = 1, β = 0 left every batch as it was"),
    "scale_and_shift_is_identity": ("0/1", "1 if γ = 1, β = 0 left every x̂ as it was"),
    "identity_distance": ("", "change of a batch by batch norm with γ = 1, β = 0, relative, "
                          "smallest"),
}  # fmt: skip
CONDITIONS = {
    "deviation": "number",
    "batch_size": "integer",
    "width": "integer",
    "depth": "integer",
    "activation": "level",
    "init": "level",
    "constant": ["zero", "whole number", "fraction"],
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
