"""
ImageNet weights of torchvision's ResNets (https://github.com/pytorch/vision).

They know no depth: a U-Net gets them in its encoder, and training starts there.
"""

from pathlib import Path
from typing import Literal

import torch

from training.networks.depth import DepthNetworkConfig
from training.networks.depth import build_depth_network
from training.networks.resnet import ResNetEncoder
from training.networks.resnet import load_torchvision_resnet
from training.networks.weights.imported import Imported

LICENCE = (
    'encoder started from torchvision (BSD-3-Clause), trained on ImageNet (non-commercial '
    'research terms)'
)
SEED = 0  # of the decoder


def read_torchvision(
    path: Path, architecture: Literal['resnet18', 'resnet34', 'resnet50']
) -> Imported:
    """
    Read a state dict as torchvision publishes it, such as ``resnet50-11ad3fa6.pth``.

    :param path: the file.
    :param architecture: which ResNet it holds.
    :raises UserError: where the file is missing or damaged, or naming a key that does not fit.
    """
    config = DepthNetworkConfig(architecture=architecture, guidance='none')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        depth = build_depth_network(config)
    assert isinstance(depth.encoder, ResNetEncoder)
    load_torchvision_resnet(depth.encoder, path)
    return Imported(config, depth, None, (path,), LICENCE, knows_depth=False)
