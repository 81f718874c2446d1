"""
The semantic network that guides depth: a ResNet encoder and a feature pyramid decoder.

Sources: Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017 (the pyramid);
Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019 (logits from the merged pyramid).
"""

from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch import nn
from torch.nn import functional

from sg_depth_ros.classes import CLASS_COUNT
from sg_depth_ros.errors import UserError
from training.checkpoint_file import NETWORK_PREFIX
from training.checkpoint_file import STATE_KEY
from training.checkpoint_file import read_checkpoint
from training.checkpoint_file import state_below
from training.networks.resnet import ResNetEncoder
from training.networks.semantic import SemanticNetwork
from training.networks.semantic import SemanticOutput

CONFIG_KEY = 'segmentation_config'


@dataclass(frozen=True)
class SegmentationConfig:
    """
    What the semantic network is made of.

    :param encoder_depth: 18, 34 or 50, of the ResNet; the paper guides with ResNet-50.
    :param width: channels of the ResNet's stem; 64 is the published network.
    :param pyramid_channels: channels of each pyramid level, a multiple of 8.
    :param class_count: how many classes it tells apart, the first of Cityscapes' 19.
    """

    encoder_depth: int = 18
    width: int = 64
    pyramid_channels: int = 128
    class_count: int = CLASS_COUNT

    def __post_init__(self) -> None:
        """Refuse what is no network."""
        for name, value in asdict(self).items():
            if not isinstance(value, int) or value <= 0:
                raise UserError(f'segmentation {name} is {value!r}, not a positive whole number')
        if self.pyramid_channels % 8:
            raise UserError(f'pyramid_channels {self.pyramid_channels} is no multiple of 8')
        if self.class_count > CLASS_COUNT:
            raise UserError(
                f'class_count {self.class_count}: at most {CLASS_COUNT}, the classes of Cityscapes'
            )


class SegmentationNetwork(SemanticNetwork):
    """An FPN-ResNet: features at strides 32, 16, 8, 4 and class logits at stride 4."""

    feature_strides = (32, 16, 8, 4)

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        self.config = config
        self.class_count = config.class_count
        channels = config.pyramid_channels
        self.feature_channels = (channels,) * len(self.feature_strides)
        self.encoder = ResNetEncoder(config.encoder_depth, config.width)
        coarse_first = self.encoder.channels[:0:-1]
        self.lateral = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in coarse_first)
        self.smooth = nn.ModuleList(_conv_norm_relu(channels) for _ in coarse_first)
        self.merge = _conv_norm_relu(channels)
        self.head = nn.Conv2d(channels, config.class_count, 1)

    def forward(self, image: Tensor) -> SemanticOutput:
        """
        Classify every fourth pixel.

        :param image: (B, 3, H, W) RGB in 0..1, H and W multiples of 32.
        :return: logits (B, class_count, H/4, W/4) and the pyramid, coarse first.
        :raises ValueError: for an image of another size.
        """
        if image.shape[-2] % 32 or image.shape[-1] % 32:
            raise ValueError(f'image {tuple(image.shape)}: H and W must be multiples of 32')
        _, c4, c8, c16, c32 = self.encoder(image)
        features: list[Tensor] = []
        top_down: Tensor | None = None
        for c, lateral, smooth in zip((c32, c16, c8, c4), self.lateral, self.smooth):
            p = lateral(c)
            if top_down is not None:
                p = p + functional.interpolate(top_down, scale_factor=2.0, mode='nearest')
            top_down = p
            features.append(smooth(p))
        # Coarse to fine by factors of two: smoother than one jump of eight, and the same sum.
        merged = features[0]
        for feature in features[1:]:
            merged = feature + _double(merged)
        return SemanticOutput(self.head(self.merge(merged)), tuple(features))

    def describe(self) -> str:
        """Return what the network is, in a few words."""
        return f'FPN-ResNet-{self.config.encoder_depth} of width {self.config.width}'


def _conv_norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
        nn.GroupNorm(min(32, channels // 4), channels),
        nn.ReLU(inplace=True),
    )


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode='bilinear', align_corners=False)


def segmentation_checkpoint(network: SegmentationNetwork) -> dict[str, Any]:
    """Return what a checkpoint must hold, plain types and tensors only."""
    state = {f'{NETWORK_PREFIX}{key}': value for key, value in network.state_dict().items()}
    return {CONFIG_KEY: asdict(network.config), STATE_KEY: state}


def is_segmentation_checkpoint(path: Path) -> bool:
    """
    Say whether a checkpoint is one of ``segment``.

    :raises UserError: where it is missing or damaged.
    """
    return CONFIG_KEY in read_checkpoint(path, 'give a checkpoint of this program')


def load_segmentation_checkpoint(path: Path) -> SegmentationNetwork:
    """
    Read the network that ``segment`` trained, on the CPU and in eval mode.

    :param path: a checkpoint written by ``segment``.
    :raises UserError: where the file is missing, damaged or holds another network.
    """
    advice = 'give a checkpoint written by "python -m training segment"'
    content = read_checkpoint(path, advice)
    if not isinstance(content.get(CONFIG_KEY), dict):
        raise UserError(f'{path}: holds no semantic network ({CONFIG_KEY} is missing); {advice}')
    try:
        network = SegmentationNetwork(SegmentationConfig(**content[CONFIG_KEY]))
        network.load_state_dict(state_below(content, NETWORK_PREFIX))
    except (UserError, TypeError, RuntimeError) as error:
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'{path}: does not fit this version ({reason}); {advice}') from error
    return network.eval()
