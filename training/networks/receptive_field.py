"""
How far a feature looks: its theoretical receptive field, in pixels of the image.

Found by gradients, not by formula: a copy of the network whose convolutions only average passes
a gradient to every pixel that can matter, and to no other. Norms are left out: their statistics
see the whole image, but say nothing of where.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch import nn

COARSEST_STRIDE = 32
FIRST_WIDTH_PX = 1024
LAST_WIDTH_PX = 16384
IDENTITIES = (nn.GroupNorm, nn.BatchNorm2d, nn.ReLU, nn.ELU)


def averaging(network: nn.Module) -> nn.Module:
    """
    Return a copy, in float64, through which every pixel's influence is positive.

    :param network: of convolutions, norms, rectifiers and pooling; a narrow one does.
    """
    network = copy.deepcopy(network).double()
    for module in list(network.modules()):
        for name, part in module.named_children():
            if isinstance(part, IDENTITIES):
                setattr(module, name, nn.Identity())
            elif isinstance(part, nn.MaxPool2d):
                pool = nn.AvgPool2d(part.kernel_size, part.stride, part.padding)
                setattr(module, name, pool)
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network.requires_grad_(False)


def receptive_field_px(features: Callable[[Tensor], Tensor], stride: int) -> int:
    """
    Return the width of what a feature can depend on, the widest of all features of a map.

    :param features: image (B, 3, H, W) to a map (B, C, H / stride, W / stride), made of networks
        that are ``averaging``.
    :param stride: of the map.
    :return: in pixels of the image, border to border.
    :raises ValueError: where it is wider than 16384 pixels.
    """
    # Where a map was upsampled, what a feature sees depends on its place in the coarsest cell.
    places = COARSEST_STRIDE // stride
    width = FIRST_WIDTH_PX
    while width <= LAST_WIDTH_PX:
        image = torch.ones(places, 3, COARSEST_STRIDE, width, dtype=torch.float64)
        map_row = features(image.requires_grad_()).sum((1, 2))  # [places, W / stride]
        first = width // 2 // stride
        middle = map_row[range(places), range(first, first + places)]
        (pull,) = torch.autograd.grad(middle.sum(), image)
        seen = pull.sum((1, 2)) > 0  # [places, W]
        if not seen[:, 0].any() and not seen[:, -1].any():
            return max(int(row.nonzero().max() - row.nonzero().min()) + 1 for row in seen)
        width *= 2
    raise ValueError(f'a receptive field of more than {LAST_WIDTH_PX} pixels')
