"""The optimizers' update rules, written out for arrays of any shape (NumPy's or PyTorch's).

The grid trains with the engine's optimizers. These serve experiments that look at the rule itself:
many trajectories at once, other constants, a correction left out. `as_written` has the rules as
the chapter writes them, `in_pytorch` PyTorch's optimizers with the same constants.

θ: parameters; g: their gradient; η: the learning rate; β: decay rates of averages; λ: weight decay.
"""

import numpy as np

RULES = ["gradient descent", "momentum", "nesterov", "rmsprop", "adam", "adamw"]
DECAY = 0.01  # λ of AdamW in the chapter and in PyTorch


def momentum(theta, gradient, state, rate, beta=0.9):
    """v ← β v + g; θ ← θ - η v (Polyak 1964, in PyTorch's form). Returns θ.

    state: a dict, at first empty, updated in place; rate and beta broadcast to theta.
    """
    state["v"] = beta * state.get("v", 0) + gradient
    return theta - rate * state["v"]


def adam_moments(gradient, state, step, betas=(0.9, 0.999)):
    """m̂ and v̂ of Adam: averages of g and g², corrected for their start at zero (Kingma and Ba
    2015, algorithm 1). The averages themselves are then state["m"] and state["v"].

    gradient: an array of any shape; state: a dict, at first empty, updated in place; step counts
    from 1.
    """
    beta1, beta2 = betas
    state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * gradient
    state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * gradient**2
    return state["m"] / (1 - beta1**step), state["v"] / (1 - beta2**step)


def adam_direction(gradient, state, step, betas=(0.9, 0.999), eps=1e-8, amsgrad=False):
    """m̂/(√v̂ + eps) of Adam (Kingma and Ba 2015, algorithm 1), or of AMSGrad as PyTorch has it
    (Reddi, Kale and Kumar 2018: the largest v so far, corrected afterwards).

    gradient, state, step: as in `adam_moments`; amsgrad: a bool, or for NumPy an array of them
    that broadcasts to the gradient; only for NumPy where it is not False.
    """
    mean, square = adam_moments(gradient, state, step, betas)
    if amsgrad is not False:
        state["largest"] = np.maximum(state.get("largest", 0), state["v"])
        square = np.where(amsgrad, state["largest"], state["v"]) / (1 - betas[1] ** step)
    return mean / (square**0.5 + eps)


def adam(theta, gradient, state, rate, step, decay=0.0, **constants):
    """θ ← (1 - η λ) θ - η m̂/(√v̂ + eps): Adam, or AdamW with a decay λ (Loshchilov and Hutter
    2019, algorithm 2). Returns θ; arguments as in `adam_direction`."""
    return theta * (1 - rate * decay) - rate * adam_direction(gradient, state, step, **constants)


# ---- As the chapter writes them, and as PyTorch has them ----------------------------------------


def as_written(rule, theta, gradient, state, step, rate, beta=0.9, eps=1e-8):
    """One step of one of RULES as the chapter writes it; returns θ.

    theta, gradient: arrays of one shape; rate and beta broadcast to them. state: a dict, at first
    empty, updated in place. step counts from 1. eps: 1e-8 as in the chapter's text, 0 as in its
    summary table; RMSProp's stands under the root. beta: of momentum, Nesterov's rule and RMSProp;
    Adam's are 0.9 and 0.999. AdamW's λ is DECAY. Nesterov's rule wants the gradient at
    `look_ahead`. Raises ValueError for another rule.
    """
    if rule == "gradient descent":
        return theta - rate * gradient
    if rule in ("momentum", "nesterov"):
        return momentum(theta, gradient, state, rate, beta)
    if rule == "rmsprop":
        state["v"] = beta * state.get("v", 0) + (1 - beta) * gradient**2
        return theta - rate * gradient / (state["v"] + eps) ** 0.5
    if rule not in ("adam", "adamw"):
        raise ValueError(f"no rule {rule!r}; there are {', '.join(RULES)}")
    decay = DECAY * theta if rule == "adamw" else 0
    return theta - rate * (adam_direction(gradient, state, step, eps=eps) + decay)


def look_ahead(rule, theta, state, rate, beta):
    """Where the rule wants the gradient: at θ, Nesterov's (1983) at θ - η β v."""
    return theta - rate * beta * state.get("v", 0) if rule == "nesterov" else theta


def in_pytorch(rule, parameters, rate):
    """The optimizer of torch.optim that is one of RULES or "amsgrad", with the chapter's constants.

    parameters: a list of tensors. PyTorch's Nesterov keeps its parameters at `look_ahead`.
    """
    import torch  # half a second, which figures of an experiment need not wait

    return {
        "gradient descent": lambda: torch.optim.SGD(parameters, rate),
        "momentum": lambda: torch.optim.SGD(parameters, rate, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD(parameters, rate, momentum=0.9, nesterov=True),
        "rmsprop": lambda: torch.optim.RMSprop(parameters, rate, alpha=0.9),
        "adam": lambda: torch.optim.Adam(parameters, rate),
        "amsgrad": lambda: torch.optim.Adam(parameters, rate, amsgrad=True),
        "adamw": lambda: torch.optim.AdamW(parameters, rate, weight_decay=DECAY),
    }[rule]()
