"""How large a network is and how much it multiplies."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameters, frozen ones included."""
    return sum(p.numel() for p in network.parameters())


def count_gmac(network: nn.Module, *inputs: Any) -> float:
    """Return the billions of multiplications of one forward pass; see ``gmac_by_module``."""
    return gmac_by_module(network, *inputs)['']


def gmac_by_module(network: nn.Module, *inputs: Any) -> dict[str, float]:
    """
    Count the multiplications of one forward pass.

    Those of convolutions (2-D, 3-D, transposed) and matrix products, wherever they are called:
    what is left out, such as normalisation or the kernels of pixel-adaptive convolutions, is
    linear in the size of the maps. Nothing is computed for a network and inputs on the device
    ``meta``.

    :param network: it runs as it is, in its own mode; what a forward pass changes is changed.
    :param inputs: of its forward.
    :return: billions by module name; the network itself is ``''``. A module counts with its parts,
        and one that does not multiply is missing.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(*inputs)
    counts = counter.get_flop_counts()
    root = type(network).__name__
    by_module = {'': sum(counts['Global'].values()) / 2e9}
    for name, operators in counts.items():
        if name.startswith(f'{root}.'):
            by_module[name[len(root) + 1 :]] = sum(operators.values()) / 2e9
    return by_module
