"""
ResNet encoders with torchvision's layer names, so that its ImageNet weights load.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016; the bottleneck strides
in its 3x3 convolution, as torchvision's weights expect ("v1.5").
"""

from pathlib import Path

import torch
from torch import Tensor
from torch import nn

from sg_depth_ros.errors import UserError
from training.checkpoint_file import read_weights

# The encoder sees (image - MEAN) / DEVIATION, image in 0..1.
MEAN = 0.45
DEVIATION = 0.225


class BasicBlock(nn.Module):
    """
    Two 3x3 convolutions with batch norm around an identity or 1x1 shortcut.

    :param in_channels: of the input.
    :param channels: of the convolutions; the output has ``expansion`` times as many.
    :param stride: of the first convolution.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        out: Tensor = self.relu(x + shortcut)
        return out


class Bottleneck(nn.Module):
    """
    A 3x3 convolution between two 1x1 convolutions, around an identity or 1x1 shortcut.

    :param in_channels: of the input.
    :param channels: of the 3x3 convolution; the output has ``expansion`` times as many.
    :param stride: of the 3x3 convolution.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = self.expansion * channels
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, 4 * channels, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        out: Tensor = self.relu(x + shortcut)
        return out


BlockType = type[BasicBlock] | type[Bottleneck]
# Depth -> its block, and how many of them each stage has.
STAGES: dict[int, tuple[BlockType, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


class ResNetEncoder(nn.Module):
    """
    A ResNet without its classifier, giving the features of strides 2, 4, 8, 16, 32.

    ``channels`` holds their channels, finest first: (64, 64, 128, 256, 512) for ResNet-18 and -34,
    (64, 256, 512, 1024, 2048) for ResNet-50, in proportion where ``width`` is not 64.

    :param depth: 18, 34 or 50.
    :param width: channels of the stem; 64 is the published network, less makes a narrow one.
    :param input_channels: 3, or 3 per image where several are stacked.
    :raises UserError: for a depth that is not offered.
    """

    def __init__(self, depth: int = 18, width: int = 64, input_channels: int = 3) -> None:
        super().__init__()
        if depth not in STAGES:
            raise UserError(f'no ResNet-{depth}; choose one of {sorted(STAGES)}')
        block, counts = STAGES[depth]
        self.depth = depth
        self.channels = (width, *(block.expansion * width * 2**stage for stage in range(4)))
        self.conv1 = nn.Conv2d(input_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(block, self.channels[0], width, counts[0], 1)
        self.layer2 = _stage(block, self.channels[1], 2 * width, counts[1], 2)
        self.layer3 = _stage(block, self.channels[2], 4 * width, counts[2], 2)
        self.layer4 = _stage(block, self.channels[3], 8 * width, counts[3], 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, image: Tensor) -> list[Tensor]:
        """
        Encode an image.

        :param image: (B, input_channels, H, W) in 0..1, H and W multiples of 32.
        :return: five feature maps, finest first.
        """
        x = (image - MEAN) / DEVIATION
        features = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(features[0])
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features


def _stage(
    block: BlockType, in_channels: int, channels: int, count: int, stride: int
) -> nn.Sequential:
    layers: list[nn.Module] = [block(in_channels, channels, stride)]
    layers += [block(block.expansion * channels, channels, 1) for _ in range(count - 1)]
    return nn.Sequential(*layers)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


def load_torchvision_resnet(encoder: ResNetEncoder, path: Path) -> None:
    """
    Fill an encoder with the weights of torchvision's ResNet of that depth; its classifier is left.

    Torchvision's weights saw images normalised by ImageNet's mean and deviation per channel, ours
    see (image - 0.45) / 0.225: about the averages of those over the channels. The two differ by at
    most 0.2 deviations (blue; green 0.03). Monodepth2 does the same; training evens it out.

    :param encoder: of width 64; for n stacked images, each gets the first layer's kernels / n,
        so that n equal images give the features of one.
    :param path: a state dict as torchvision publishes it (``resnet50-....pth``).
    :raises UserError: where the file is missing or damaged, or naming a key that does not fit.
    """
    name = f'ResNet-{encoder.depth}'
    advice = f"give torchvision's state dict of {name}"
    weights = {k: v for k, v in read_weights(path, advice).items() if not k.startswith('fc.')}
    expected = encoder.state_dict()
    # Files of before torch 0.4.1 do not count batches, and no one needs the count.
    needed = {key for key in expected if not key.endswith('.num_batches_tracked')}
    for key in sorted(set(weights) - set(expected)):
        raise UserError(f'{path}: {key} is no part of {name}; {advice}')
    for key in sorted(needed - set(weights)):
        raise UserError(f'{path}: {key} of {name} is missing; {advice}')
    images = encoder.conv1.in_channels // 3
    weights['conv1.weight'] = weights['conv1.weight'].repeat(1, images, 1, 1) / images
    for key, value in weights.items():
        if value.shape != expected[key].shape:
            raise UserError(
                f'{path}: {key} has shape {tuple(value.shape)}, where this {name} has '
                f'{tuple(expected[key].shape)}; the width must be 64'
            )
    with torch.no_grad():
        for key, value in weights.items():
            expected[key].copy_(value)
