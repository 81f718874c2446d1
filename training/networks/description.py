"""What a configuration builds: its networks layer by layer, and how guidance is laid out."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import fx
from torch import nn

from training.networks.counting import LayerCost
from training.networks.counting import count_layers
from training.networks.depth import PACKNET_SHAPES
from training.networks.depth import DepthNetwork
from training.networks.depth import DepthNetworkConfig
from training.networks.depth import build_depth_network
from training.networks.guidance import Guidance
from training.networks.guidance import GuidanceFeatures
from training.networks.guidance import PacGuidance
from training.networks.packing import ConvNormElu
from training.networks.packing import FoldedPack
from training.networks.packing import Pack
from training.networks.packnet import PackNetDecoder
from training.networks.packnet import PackNetEncoder
from training.networks.packnet import fold_packing
from training.networks.pose import CONTEXT_COUNT
from training.networks.pose import PoseNet
from training.networks.pose import PoseNetworkConfig
from training.networks.pose import PoseResNet
from training.networks.pose import build_pose_network
from training.networks.receptive_field import averaging
from training.networks.receptive_field import receptive_field_px
from training.networks.resnet import ResNetEncoder
from training.networks.segmentation import SegmentationNetwork
from training.networks.semantic import SemanticNetwork
from training.networks.unet import UNetDecoder

# These are told apart into their parts; any other module is one layer.
COMPOSED = (
    nn.ModuleDict,
    nn.ModuleList,
    DepthNetwork,
    Guidance,
    PackNetDecoder,
    PackNetEncoder,
    PoseNet,
    PoseResNet,
    ResNetEncoder,
    SegmentationNetwork,
    UNetDecoder,
)


class Layer(NamedTuple):
    """One row of a description."""

    name: str  # as in checkpoints
    kind: str
    shapes: tuple[tuple[int, ...], ...]  # C, H, W of its outputs
    parameters: int
    gmac: float


class Description(NamedTuple):
    """A network at one size of image."""

    layers: tuple[Layer, ...]  # in the order they run
    parameters: int
    gmac: float

    def within(self, component: str) -> 'Description':
        """Return the part whose layers' names begin with a component's."""
        layers = tuple(layer for layer in self.layers if layer.name.startswith(f'{component}.'))
        return _summed(layers)


class GuidedLevel(NamedTuple):
    """How one level of the decoder is guided."""

    stride: int
    shape: tuple[int, int, int]  # C, H, W of the features that are guided
    map_stride: int
    map_channels: int
    upsampling: float  # from the semantic map to the level
    sees_px: int | None  # width of what guides, in the image; None where not known
    window_px: int | None  # of the pixel-adaptive convolution, in the image; None without


def describe_depth(
    config: DepthNetworkConfig, semantic: SemanticNetwork | None, height: int, width: int
) -> tuple[Description, Description | None]:
    """
    Describe a depth network, and where it packs, the same with folded packings.

    Unfolded means the published network, which pads before each convolution.

    :param config: the network.
    :param semantic: what guides it.
    :param height: of the image; ``width`` likewise.
    :raises UserError: for guidance without a semantic network.
    """
    with torch.device('meta'):
        network = _build(replace(config, pack_padding='each'), semantic)
        image = torch.zeros(1, 3, height, width)
        maps = () if semantic is None else semantic_maps(semantic, height, width)
        whole = _describe(network, image, maps)
        if config.architecture not in PACKNET_SHAPES:
            return whole, None
        return whole, _describe(fold_packing(network), image, maps)


def describe_semantic(network: SemanticNetwork, height: int, width: int) -> Description:
    """Describe a semantic network; it runs where it lies, so one in a file is really run."""
    return _describe(network, _image_for(network, height, width))


def describe_pose(config: PoseNetworkConfig, height: int, width: int) -> Description:
    """Describe a pose network that sees a target and both its contexts."""
    with torch.device('meta'):
        target = torch.zeros(1, 3, height, width)
        contexts = torch.zeros(1, CONTEXT_COUNT, 3, height, width)
        return _describe(build_pose_network(config), target, contexts)


def guided_levels(
    config: DepthNetworkConfig, semantic: SemanticNetwork | None, height: int, width: int
) -> tuple[GuidedLevel, ...]:
    """
    Say which map of the semantic network guides which level of the decoder, coarse to fine.

    :raises UserError: for guidance without a semantic network.
    """
    if semantic is None or not config.is_guided:
        return ()
    with torch.device('meta'):
        network = _build(config, semantic)
    found = []
    for stride, source in sorted(network.guidance.sources.items(), reverse=True):
        operator = network.guidance.operators[str(stride)]
        map_stride = semantic.feature_strides[source]
        channels: int = network.decoder.level_channels[stride]  # type: ignore[index,assignment]
        level = GuidedLevel(
            stride=stride,
            shape=(channels, height // stride, width // stride),
            map_stride=map_stride,
            map_channels=semantic.feature_channels[source],
            upsampling=map_stride / stride,
            sees_px=guidance_sees_px(semantic, source, stride),
            window_px=None,
        )
        if isinstance(operator, PacGuidance):
            level = level._replace(window_px=stride * operator.pac.weight.shape[-1])
        found.append(level)
    return tuple(found)


def guidance_sees_px(semantic: SemanticNetwork, source: int, stride: int) -> int | None:
    """
    Return how much of the image a level's guidance features depend on.

    :param semantic: the semantic network; only of our own the layers are known.
    :param source: index of its map.
    :param stride: of the guided level.
    :return: a width in pixels; norms, whose statistics see everything, do not count.
    """
    if not isinstance(semantic, SegmentationNetwork):
        return None
    narrow = replace(semantic.config, width=1, pyramid_channels=8)  # it looks as far
    with torch.device('cpu'):
        pyramid = averaging(SegmentationNetwork(narrow))
        block = averaging(GuidanceFeatures(narrow.pyramid_channels, 16))
    return receptive_field_px(
        lambda image: block(
            pyramid(image).features[source], image.shape[-2] // stride, image.shape[-1] // stride
        ),
        stride,
    )


def semantic_maps(network: SemanticNetwork, height: int, width: int) -> tuple[torch.Tensor, ...]:
    """Return tensors without content, shaped like the maps of a semantic network."""
    with torch.no_grad():
        features = network(_image_for(network, height, width)).features
    return tuple(feature.to('meta') for feature in features)


def _image_for(network: SemanticNetwork, height: int, width: int) -> torch.Tensor:
    device = next((p.device for p in network.parameters()), torch.device('cpu'))
    return torch.zeros(1, 3, height, width, device=device)


def _build(config: DepthNetworkConfig, semantic: SemanticNetwork | None) -> DepthNetwork:
    if semantic is None:
        return build_depth_network(config)
    return build_depth_network(config, semantic.feature_channels, semantic.feature_strides)


def _describe(network: nn.Module, *inputs: object) -> Description:
    parts = _parts(network)
    costs = count_layers(network.eval(), parts, *inputs)
    layers = tuple(
        Layer(
            cost.name,
            _kind(parts[cost.name]),
            tuple(shape[1:] for shape in cost.shapes),
            cost.parameters,
            cost.multiplications / 1e9,
        )
        for cost in _norms_with_their_convolution(costs)
    )
    return _summed(layers)


def _summed(layers: tuple[Layer, ...]) -> Description:
    return Description(layers, sum(x.parameters for x in layers), sum(x.gmac for x in layers))


def _norms_with_their_convolution(costs: tuple[LayerCost, ...]) -> list[LayerCost]:
    """Leave out what does not multiply; its parameters go to the layer before."""
    rows: list[LayerCost] = []
    for cost in costs:
        if cost.multiplications or not rows:
            rows.append(cost)
        else:
            rows[-1] = rows[-1]._replace(parameters=rows[-1].parameters + cost.parameters)
    return rows


def _parts(network: nn.Module, name: str = '') -> dict[str, nn.Module]:
    several = isinstance(network, nn.Sequential) and (
        sum(isinstance(part, nn.Conv2d) for part in network) > 1
    )
    if not (several or isinstance(network, COMPOSED)) and name:
        return {name: network}
    parts: dict[str, nn.Module] = {}
    for child, module in network.named_children():
        parts.update(_parts(module, f'{name}.{child}' if name else child))
    return parts


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return f'Conv2d {_size(module.kernel_size)}'
    if isinstance(module, nn.Sequential):
        kinds = [_kind(part) for part in module]
        if len(set(kinds)) == 1:
            return f'{len(kinds)} x {kinds[0]}' if len(kinds) > 1 else kinds[0]
        return ', '.join(kinds)
    if isinstance(module, (ConvNormElu, FoldedPack, Pack)):
        return f'{type(module).__name__} {_size(module.conv.kernel_size)}'
    return 'exported program' if isinstance(module, fx.GraphModule) else type(module).__name__


def _size(kernel_size: tuple[int, ...]) -> str:
    return 'x'.join(map(str, kernel_size))
