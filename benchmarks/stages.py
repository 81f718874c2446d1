"""
Where the time of a training step goes, forwards and backwards, on a CPU or a CUDA device.

A timeline of marks: whatever happens from one mark to the next belongs to the stage that the
first one names. A stage's backward pass is found by identities in the graph around it: the
gradient reaches the one behind it first and the one before it last. On CUDA the marks are events
of the stream, which wait for nothing.
"""

import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch import nn
from torch.utils import _pytree as pytree


class Timeline:
    """
    Marks of stages in the order in which they happened.

    :param cuda: whether the device is one of CUDA, where a mark is an event of the stream.
    :param clock: elsewhere, seconds.
    """

    def __init__(self, cuda: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        self.cuda = cuda
        self.clock = clock
        self.marks: list[tuple[str, Any]] = []
        self.stage = 'other'

    def mark(self, stage: str) -> None:
        """Say that a stage begins, and the one before it ends."""
        self.stage = stage
        if self.cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append((stage, event))
        else:
            self.marks.append((stage, self.clock()))

    def clear(self) -> None:
        """Forget everything up to now."""
        self.marks.clear()
        self.mark(self.stage)

    def seconds(self) -> dict[str, float]:
        """Return the time in each stage, between the first mark and the last."""
        if self.cuda:
            torch.cuda.synchronize()
        total: dict[str, float] = {}
        for (stage, begun), (_, ended) in zip(self.marks, self.marks[1:]):
            spent = 1e-3 * begun.elapsed_time(ended) if self.cuda else ended - begun
            total[stage] = total.get(stage, 0.0) + spent
        return total

    @contextmanager
    def within(self, stage: str) -> Iterator[str]:
        """Mark a stage, and after it the one around it, which is yielded."""
        around = self.stage
        self.mark(stage)
        yield around
        self.mark(around)

    def staged(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that marks itself as a stage, with its gradient."""

        @wraps(function)
        def marked(*args: Any, **options: Any) -> Any:
            with self.within(stage) as around:
                # Backwards the stage ends where the gradient reaches its inputs.
                args = _through(self, around, args)
                return _through(self, stage, function(*args, **options))

        return marked


class _BackwardMark(torch.autograd.Function):
    """An identity that marks a stage when its gradient comes."""

    @staticmethod
    def forward(ctx: Any, timeline: Timeline, stage: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.timeline, ctx.stage = timeline, stage
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        ctx.timeline.mark(ctx.stage)
        return None, None, *grads


def _through(timeline: Timeline, stage: str, values: Any) -> Any:
    leaves, structure = pytree.tree_flatten(values)
    moving = [i for i, v in enumerate(leaves) if isinstance(v, Tensor) and v.requires_grad]
    if moving:
        marked = _BackwardMark.apply(timeline, stage, *(leaves[i] for i in moving))
        for index, tensor in zip(moving, marked):
            leaves[index] = tensor
    return pytree.tree_unflatten(leaves, structure)


class Staged(nn.Module):
    """A module that marks itself as a stage; everything else is that of the module."""

    def __init__(self, timeline: Timeline, stage: str, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.call = timeline.staged(stage, inner)

    def forward(self, *args: Any) -> Any:
        """Call the module."""
        return self.call(*args)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__('inner'), name)


def stage_function(timeline: Timeline, stage: str, owner: ModuleType, name: str) -> None:
    """Let a function of a module mark itself as a stage."""
    setattr(owner, name, timeline.staged(stage, getattr(owner, name)))
