"""The depth network: shapes, start, guidance, and a semantic network that stays fixed."""

import pytest
import torch

from sg_depth_ros.errors import UserError
from training.networks.depth import DepthNetworkConfig
from training.networks.depth import build_depth_network
from training.networks.guided import GuidedDepthNetwork
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork

NARROW = DepthNetworkConfig(
    encoder_width=8, decoder_channels=(16, 16, 8, 8, 8), guidance_channels=16
)


def narrow(guidance='pac', **options):
    torch.manual_seed(0)
    values = {**vars(NARROW), 'guidance': guidance, **options}
    segmentation = SegmentationNetwork(SegmentationConfig(width=8, pyramid_channels=16))
    return GuidedDepthNetwork(DepthNetworkConfig(**values), segmentation)


@pytest.mark.parametrize('guidance', ['pac', 'spade', 'none'])
def test_inverse_depth_comes_at_four_scales_within_its_bounds(guidance):
    output = narrow(guidance)(torch.rand(2, 3, 64, 96))
    shapes = [tuple(d.shape) for d in output.inverse_depth]
    assert shapes == [(2, 1, 64 // s, 96 // s) for s in (1, 2, 4, 8)]
    assert output.logits.shape == (2, 19, 16, 24)
    for d in output.inverse_depth:
        assert (d >= 1 / 100.0).all()
        assert (d <= 1 / 0.5).all()


def test_untrained_network_says_about_the_initial_depth():
    torch.manual_seed(0)
    with torch.no_grad():
        (finest, *_) = narrow().inverse_depth(torch.rand(2, 3, 64, 96))
    assert 8.0 < 1 / finest.mean() < 25.0


def test_resnet18_unguided_has_the_published_size():
    network = build_depth_network(DepthNetworkConfig(guidance='none'))
    encoder = sum(p.numel() for p in network.encoder.parameters())
    assert encoder == 11_176_512  # torchvision's ResNet-18 without its classifier
    decoder = sum(p.numel() for p in network.parameters()) - encoder
    assert decoder == 3_152_724  # monodepth2's decoder with four heads


@pytest.mark.parametrize('guidance', ['pac', 'spade'])
def test_guidance_changes_depth_and_its_layers_learn(guidance):
    network = narrow(guidance)
    image = torch.rand(1, 3, 64, 96)
    semantic = network.segmentation(image).features
    finest = network.depth(image, semantic)[0]
    other = network.depth(image, tuple(f.roll(5, -1) for f in semantic))[0]
    assert (finest - other).abs().max() > 1e-6
    finest.sum().backward()
    assert list(network.depth.guidance.operators) == ['16', '8', '4', '2']
    for parameter in network.depth.guidance.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_guided_strides_choose_the_guided_levels():
    network = narrow(guided_strides=(8, 2))
    assert list(network.depth.guidance.operators) == ['8', '2']


def test_semantic_network_stays_fixed_while_depth_trains():
    network = narrow().train()
    before = {k: v.clone() for k, v in network.segmentation.state_dict().items()}
    optimizer = torch.optim.SGD(network.trainable_parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        network.inverse_depth(torch.rand(2, 3, 64, 96))[0].mean().backward()
        optimizer.step()
    after = network.segmentation.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before)
    assert all(p.grad is None for p in network.segmentation.parameters())
    fixed = {id(p) for p in network.segmentation.parameters()}
    assert fixed.isdisjoint(id(p) for p in network.trainable_parameters())


@pytest.mark.parametrize(
    'wrong',
    [{'initial_depth_m': 0.1}, {'guided_strides': (3,)}, {'guidance_channels': 10}],
)
def test_settings_that_make_no_network_are_refused(wrong):
    with pytest.raises(UserError):
        DepthNetworkConfig(**wrong)
