"""How large a network is and how much it multiplies."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from training.networks.pac import PacConv2d

# Of a pixel-adaptive convolution: 4 of the 8 neighbours' kernels are computed, the others are the
# same seen from there; the centre's is 1.
KERNELS_COMPUTED, NEIGHBOURS = 4, 8


class LayerCost(NamedTuple):
    """What one layer gives, and what it costs in a forward pass."""

    name: str
    shapes: tuple[tuple[int, ...], ...]  # of its outputs
    parameters: int
    multiplications: int


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameters, frozen ones included."""
    return sum(p.numel() for p in network.parameters())


def count_gmac(network: nn.Module, *inputs: Any) -> float:
    """
    Count the multiplications of one forward pass, in billions.

    Those of convolutions (2-D, 3-D, transposed) and matrix products, wherever they are called:
    what is left out, such as normalisation or the kernels of pixel-adaptive convolutions, is
    linear in the size of the maps. Nothing is computed for a network and inputs on the device
    ``meta``.

    :param network: it runs as it is, in its own mode; what a forward pass changes is changed.
    :param inputs: of its forward.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(*inputs)
    return counter.get_total_flops() / 2e9


def count_layers(
    network: nn.Module, layers: Mapping[str, nn.Module], *inputs: Any
) -> tuple[LayerCost, ...]:
    """
    Run a network forwards and say what each of its layers costs, in the order they finish.

    A layer that is called from within another, such as guidance from a decoder level, counts for
    itself alone. Pixel-adaptive convolutions count by their definition, kernels included; they are
    not run, because the form that they take depends on where.

    :param network: it runs as it is; nothing is computed on the device ``meta``.
    :param layers: the modules to tell apart, by name; one that is not called is left out.
    :param inputs: of the network's forward.
    """
    counter = _LayerCounter(layers)
    pacs = [m for m in network.modules() if isinstance(m, PacConv2d)]
    with ExitStack() as stack:
        for module in dict.fromkeys([*layers.values(), *pacs]):
            stack.callback(module.register_forward_pre_hook(counter.enter).remove)
            stack.callback(module.register_forward_hook(counter.leave).remove)
        for pac in pacs:
            vars(pac)['forward'] = partial(_shaped_like_output, pac)
            stack.callback(vars(pac).pop, 'forward')
        stack.enter_context(torch.no_grad())
        stack.enter_context(counter.flops)
        network(*inputs)
    return tuple(
        LayerCost(counter.names[module], shapes, count_parameters(module), counter.own[module])
        for module, shapes in counter.shapes.items()
    )


class _LayerCounter:
    """Hooks that count the multiplications of layers, without those of layers within them."""

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self.flops = FlopCounterMode(display=False)
        self.names = {module: name for name, module in layers.items()}
        self.shapes: dict[nn.Module, tuple[tuple[int, ...], ...]] = {}
        self.own: dict[nn.Module, int] = {}
        # Of the calls under way: the count when each began, and what layers within it took.
        self._begun: list[int] = []
        self._within: list[int] = []
        self._not_run = 0  # multiplications of pixel-adaptive convolutions

    def enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._begun.append(self._count())
        self._within.append(0)

    def leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        begun, within = self._begun.pop(), self._within.pop()
        if isinstance(module, PacConv2d):
            self._not_run += pac_multiplications(module, *inputs)
        if module in self.names:
            everything = self._count() - begun
            self.own[module] = self.own.get(module, 0) + everything - within
            self.shapes[module] = _shapes(output)
            within = everything
        if self._within:
            self._within[-1] += within

    def _count(self) -> int:
        return self.flops.get_total_flops() // 2 + self._not_run


def pac_multiplications(pac: PacConv2d, x: Tensor, guidance: Tensor) -> int:
    """
    Count the multiplications of a pixel-adaptive convolution by its definition.

    Nine of W v per pixel, the squares of four kernels, and K times the eight neighbours' W v.

    :param x: its features (B, C, H, W).
    :param guidance: its guidance (B, D, H, W).
    """
    filters = pac.weight.shape[0]
    per_pixel = pac.weight.numel() + KERNELS_COMPUTED * guidance.shape[1] + NEIGHBOURS * filters
    return x.shape[0] * x.shape[-2] * x.shape[-1] * per_pixel


def _shaped_like_output(pac: PacConv2d, x: Tensor, guidance: Tensor) -> Tensor:
    return x.new_zeros(x.shape[0], pac.weight.shape[0], *x.shape[-2:])


def _shapes(output: Any) -> tuple[tuple[int, ...], ...]:
    if isinstance(output, Tensor):
        return (tuple(output.shape),)
    return tuple(shape for part in output for shape in _shapes(part))
