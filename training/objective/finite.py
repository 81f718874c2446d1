"""Numbers that must be finite: where one is not, training stops before it spoils anything."""

import torch
from torch import Tensor
from torch import nn


class NotFiniteError(ArithmeticError):
    """A coordinate, a gradient or a weight is infinite or no number."""


def clip_gradient(optimizer: torch.optim.Optimizer, largest_norm: float) -> Tensor:
    """
    Scale the gradient down to a norm, where it is longer.

    :param optimizer: of the parameters.
    :return: the norm before, a scalar.
    :raises NotFiniteError: where the norm is not finite; nothing has changed then.
    """
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    try:
        # Waits for the device once per step. Looking a step later would not, but by then the
        # weights are spoilt, and what spoilt them can no longer be computed again.
        norm = torch.nn.utils.clip_grad_norm_(parameters, largest_norm, error_if_nonfinite=True)
    except RuntimeError as error:
        if 'non-finite' not in str(error):
            raise
        gradients = [p.grad.float().norm() for p in parameters if p.grad is not None]
        norm = torch.stack(gradients).norm()
        raise NotFiniteError(f'the norm of the gradient is {norm.item()}') from error
    return norm.detach()


def loss_for_all_to_stop(module: nn.Module) -> Tensor:
    """
    Return NaN as a function of every weight.

    A process that stopped alone would leave the others waiting for its gradient; this loss makes
    the gradient that they share NaN, so that all of them stop at ``clip_gradient``.
    """
    weights = [p.sum() for p in module.parameters() if p.requires_grad]
    return torch.stack(weights).sum() * torch.nan


def require_finite_grid(grid: Tensor) -> None:
    """
    Refuse a grid with NaN before ``grid_sample`` does what it does on CPUs.

    There it takes NaN for a border and hides it from the loss, and its gradient reads beyond the
    image, which ends the process without a word (pytorch issue 24823). A GPU is not waited for:
    there the gradient is NaN too, and found.

    :raises NotFiniteError: where depth or motion are not finite.
    """
    if grid.device.type == 'cpu' and not grid.sum().isfinite():
        raise NotFiniteError('the predicted depth or motion is not finite')


def require_finite_weights(module: nn.Module) -> None:
    """
    Refuse weights that would spoil a checkpoint.

    :raises NotFiniteError: naming a weight.
    """
    weights = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not weights or torch.stack([p.isfinite().all() for _, p in weights]).all():
        return
    name = next(name for name, p in weights if not p.isfinite().all())
    raise NotFiniteError(f'the weight {name} is not finite')
