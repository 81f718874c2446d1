"""How the networks are trained: the optimiser's settings and the learning rate of every step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sg_depth_ros.errors import UserError


@dataclass(frozen=True)
class OptimizerConfig:
    """
    How the networks are trained: Adam, and a learning rate that falls.

    It falls once, for the last share of the training (monodepth2: ``drop_at`` 0.75, ``drop_to``
    0.1), or again and again by half (packnet-sfm: ``halve_every_epochs`` 30).

    :param lr: learning rate of Adam, before it falls.
    :param drop_at: share of the training after which the learning rate falls to ``drop_to`` of
        it; 1 for never.
    :param drop_to: factor of that fall.
    :param halve_every_epochs: halve the learning rate every so many epochs, instead of that fall.
    :param warm_up_steps: steps over which the learning rate rises to ``lr`` in equal parts.
    :param gradient_clip: largest norm of the gradient.
    """

    lr: float = 2e-4
    drop_at: float = 0.75
    drop_to: float = 0.1
    halve_every_epochs: float | None = None
    warm_up_steps: int = 0
    gradient_clip: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what is no schedule."""
        for name in ('lr', 'drop_to', 'gradient_clip'):
            if not 0 < getattr(self, name) < float('inf'):
                raise UserError(f'optimizer.{name} {getattr(self, name)} is not positive')
        if not 0 <= self.drop_at <= 1:
            raise UserError(f'optimizer.drop_at {self.drop_at} is no share, from 0 to 1')
        if self.halve_every_epochs is not None and not self.halve_every_epochs > 0:
            raise UserError(
                f'optimizer.halve_every_epochs {self.halve_every_epochs} is not positive'
            )
        if self.warm_up_steps < 0:
            raise UserError(f'optimizer.warm_up_steps {self.warm_up_steps} is below 0')


def learning_rate_factor(
    config: OptimizerConfig, step: int, steps: float, steps_per_epoch: float
) -> float:
    """
    Return the factor of the learning rate in one step, whatever happened before it.

    :param step: number of the optimiser's step, from 0.
    :param steps: how many there will be in all; infinity where nobody knows.
    :param steps_per_epoch: how many there are in an epoch.
    """
    if config.halve_every_epochs is None:
        factor = 1.0 if step < config.drop_at * steps else config.drop_to
    else:
        factor = 0.5 ** (step // (config.halve_every_epochs * steps_per_epoch))
    if step < config.warm_up_steps:
        factor *= (step + 1) / (config.warm_up_steps + 1)
    return factor


class LearningRate(torch.optim.lr_scheduler.LRScheduler):
    """
    Sets the learning rate of every step.

    Where a run goes on, this run's configuration counts, not that of the checkpoint: a finished
    run may be made longer, or go on at another rate.

    :param optimizer: whose rate it sets.
    :param config: the schedule.
    :param steps: how many steps there will be in all.
    :param steps_per_epoch: how many there are in an epoch.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        config: OptimizerConfig,
        steps: float,
        steps_per_epoch: float,
    ) -> None:
        self.config = config
        self.steps = steps
        self.steps_per_epoch = steps_per_epoch
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of the step that comes next, one per parameter group."""
        factor = learning_rate_factor(
            self.config, self.last_epoch, self.steps, self.steps_per_epoch
        )
        return [self.config.lr * factor for _ in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return which step comes next; all else is configuration."""
        return {'last_epoch': self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at a step; older checkpoints hold more, which does not count."""
        self.last_epoch = state_dict['last_epoch']
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr):
            group['lr'] = rate
