"""
ResNet encoders with torchvision's layer names, so that its ImageNet weights load.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
"""

from torch import Tensor
from torch import nn

from sg_depth_ros.errors import UserError

# Blocks per stage. ResNet-18 and -34 use basic blocks.
STAGE_BLOCKS: dict[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
# The encoder sees (image - MEAN) / DEVIATION, image in 0..1.
MEAN = 0.45
DEVIATION = 0.225


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm around an identity or 1x1 shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


class ResNetEncoder(nn.Module):
    """
    A ResNet without its classifier, giving the features of strides 2, 4, 8, 16, 32.

    :param depth: 18 or 34.
    :param width: channels of the stem; 64 is the published network, less makes a narrow one.
    :param input_channels: 3, or 3 per image where several are stacked.
    :raises UserError: for a depth that is not offered.
    """

    def __init__(self, depth: int = 18, width: int = 64, input_channels: int = 3) -> None:
        super().__init__()
        if depth not in STAGE_BLOCKS:
            raise UserError(f'no ResNet-{depth}; choose one of {sorted(STAGE_BLOCKS)}')
        self.channels = (width, width, 2 * width, 4 * width, 8 * width)
        self.conv1 = nn.Conv2d(input_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        blocks = STAGE_BLOCKS[depth]
        self.layer1 = _stage(width, width, blocks[0], 1)
        self.layer2 = _stage(width, 2 * width, blocks[1], 2)
        self.layer3 = _stage(2 * width, 4 * width, blocks[2], 2)
        self.layer4 = _stage(4 * width, 8 * width, blocks[3], 2)
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


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    layers = [BasicBlock(in_channels, channels, stride)]
    layers += [BasicBlock(channels, channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(*layers)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
