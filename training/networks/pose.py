"""
The pose networks: how the camera moved between the target frame and its context frames.

Those that know which frame is the earlier start forwards along the optical axis (ours): with a
measured displacement only the direction of their translations counts, and a direction that starts
at random may start backwards.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch import nn

from sg_depth_ros.errors import UserError
from training.networks.motion import ROTATIONS
from training.networks.motion import Motion
from training.networks.motion import RotationForm
from training.networks.motion import invert
from training.networks.resnet import DEVIATION
from training.networks.resnet import MEAN
from training.networks.resnet import ResNetEncoder

PoseArchitecture = Literal['posenet', 'resnet18']
PairOrder = Literal['temporal', 'target_first']

CONTEXT_COUNT = 2
OUTPUT_SCALE = 0.01  # keeps the first motions small
FIRST_GAIN = 0.1  # of the last convolution: less than the bias that points forwards
# How each network was published.
PUBLISHED_ROTATION: dict[PoseArchitecture, RotationForm] = {
    'posenet': 'euler',
    'resnet18': 'axis_angle',
}


@dataclass(frozen=True)
class PoseNetworkConfig:
    """
    The pose network's choices.

    :param architecture: ``posenet`` sees target and contexts together, ``resnet18`` pairs of them.
    :param rotation: what the network's three numbers of a rotation mean; none: as published, Euler
        angles for ``posenet``, axis times angle for ``resnet18``.
    :param normalized_input: ``posenet`` only: it sees images as the ResNets do; its imported
        weights are used to 0..1 and need false.
    :param pair_order: ``resnet18`` only: pairs are ``temporal`` (monodepth2), the motion to the
        previous frame being the inverse of that from it, or ``target_first`` (packnet-sfm), which
        is for imported weights: from scratch it has no direction to start in.
    """

    architecture: PoseArchitecture = 'posenet'
    rotation: RotationForm | None = None
    normalized_input: bool = True
    pair_order: PairOrder = 'temporal'


def build_pose_network(config: PoseNetworkConfig) -> 'PoseNet | PoseResNet':
    """
    Make the pose network that was asked for.

    :param config: its choices.
    :raises UserError: for a choice that means nothing to the architecture.
    """
    rotation = config.rotation or PUBLISHED_ROTATION[config.architecture]
    if config.architecture == 'posenet':
        if config.pair_order != 'temporal':
            raise UserError(
                'pose: pair_order is for resnet18; posenet sees no pairs: leave it out'
            )
        return PoseNet(rotation, config.normalized_input)
    if not config.normalized_input:
        raise UserError(
            'pose: normalized_input is for posenet; resnet18 always normalises: leave it out'
        )
    return PoseResNet(rotation, config.pair_order)


class PoseNet(nn.Module):
    """
    Target and context images together to one motion per context.

    7 stride-2 convolutions, a 1x1 convolution, the spatial mean. Source: Zhou et al., Unsupervised
    Learning of Depth and Ego-Motion from Video, CVPR 2017, with GroupNorm as in packnet-sfm.

    :param rotation: what the numbers 3 to 5 of a motion mean; 0 to 2 are its translation.
    :param normalized_input: whether the network sees (image - MEAN) / DEVIATION.
    """

    def __init__(self, rotation: RotationForm = 'euler', normalized_input: bool = True) -> None:
        super().__init__()
        self.to_rotation = ROTATIONS[rotation]
        self.normalized_input = normalized_input
        widths = (16, 32, 64, 128, 256, 256, 256)
        kernels = (7, 5, 3, 3, 3, 3, 3)
        layers: list[nn.Module] = []
        channels = 3 * (1 + CONTEXT_COUNT)
        for width, kernel in zip(widths, kernels):
            layers += [
                nn.Conv2d(channels, width, kernel, 2, kernel // 2),
                nn.GroupNorm(16, width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.features = nn.Sequential(*layers)
        self.motion = nn.Conv2d(channels, 6 * CONTEXT_COUNT, 1)
        # Seen from the previous frame the scene lies farther ahead, from the next one nearer.
        _start_motion(self.motion, {2: 1.0, 8: -1.0})

    def forward(self, target: Tensor, contexts: Tensor) -> Motion:
        """
        Estimate T_context_target.

        :param target: (B, 3, H, W) in 0..1.
        :param contexts: (B, 2, 3, H, W) in 0..1: previous, next.
        :return: rotation (B, 2, 3, 3) and translation (B, 2, 3), float32.
        """
        x = torch.cat([target, contexts.flatten(1, 2)], dim=1)
        if self.normalized_input:
            x = (x - MEAN) / DEVIATION
        # Geometry is float32, whatever the network computes in.
        numbers = self.motion(self.features(x)).float().mean((2, 3))
        numbers = OUTPUT_SCALE * numbers.view(-1, CONTEXT_COUNT, 6)
        return Motion(self.to_rotation(numbers[..., 3:]), numbers[..., :3])


class PoseResNet(nn.Module):
    """
    Pairs of images to the motion between them, with a ResNet-18 of six input channels.

    Source: Godard et al., Digging Into Self-Supervised Monocular Depth Estimation, ICCV 2019. The
    network says T_second_first of a pair. As published the last convolution has 12 channels, of
    which the first six are used.

    :param rotation: what the numbers 0 to 2 of a motion mean; 3 to 5 are its translation.
    :param pair_order: which image of a pair comes first.
    """

    def __init__(
        self, rotation: RotationForm = 'axis_angle', pair_order: PairOrder = 'temporal'
    ) -> None:
        super().__init__()
        self.to_rotation = ROTATIONS[rotation]
        self.pair_order = pair_order
        self.encoder = ResNetEncoder(input_channels=6)
        self.squeeze = nn.Conv2d(self.encoder.channels[-1], 256, 1)
        self.conv1 = nn.Conv2d(256, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 256, 3, padding=1)
        self.motion = nn.Conv2d(256, 12, 1)
        # The scene comes nearer from the first to the second of a temporal pair; from the target
        # to a context it may go either way.
        _start_motion(self.motion, {5: -1.0} if pair_order == 'temporal' else {})

    def forward(self, target: Tensor, contexts: Tensor) -> Motion:
        """
        Estimate T_context_target.

        :param target: (B, 3, H, W) in 0..1, H and W multiples of 32.
        :param contexts: (B, 2, 3, H, W) in 0..1: previous, next.
        :return: rotation (B, 2, 3, 3) and translation (B, 2, 3), float32.
        """
        previous, following = contexts.unbind(1)
        if self.pair_order == 'target_first':
            return self._between((target, previous), (target, following))
        rotations, translations = self._between((previous, target), (target, following))
        to_previous = invert(Motion(rotations[:, 0], translations[:, 0]))
        return Motion(
            torch.stack([to_previous.rotation, rotations[:, 1]], 1),
            torch.stack([to_previous.translation, translations[:, 1]], 1),
        )

    def _between(self, *pairs: tuple[Tensor, Tensor]) -> Motion:
        """Estimate T_second_first of pairs of images (B, 3, H, W), in one pass."""
        images = torch.stack([torch.cat(pair, 1) for pair in pairs], 1)  # [B, pairs, 6, H, W]
        x = torch.relu(self.squeeze(self.encoder(images.flatten(0, 1))[-1]))
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        numbers = self.motion(x).float().mean((2, 3))
        numbers = OUTPUT_SCALE * numbers.view(-1, len(pairs), 12)
        return Motion(self.to_rotation(numbers[..., :3]), numbers[..., 3:6])


def _start_motion(layer: nn.Conv2d, bias: dict[int, float]) -> None:
    nn.init.xavier_uniform_(layer.weight, gain=FIRST_GAIN)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for channel, value in bias.items():
            layer.bias[channel] = value
