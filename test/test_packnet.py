"""PackNet01: the published sizes, its outputs and its start, guidance, and folding."""

import pytest
import torch
from torch import nn

from sg_depth_ros.errors import UserError
from training.networks.counting import count_gmac
from training.networks.counting import count_layers
from training.networks.counting import count_parameters
from training.networks.inverse_depth import InverseDepthMapping
from training.networks.pac import PacConv2d
from training.networks.packing import Pack
from training.networks.packnet import PACKNET01
from training.networks.packnet import PACKNET01_SLIM
from training.networks.packnet import PackNetDecoder
from training.networks.packnet import PackNetEncoder
from training.networks.packnet import PackNetShape
from training.networks.packnet import fold_packing

TINY = PackNetShape((16, 16, 32, 32, 16, 16), 4)
STRIDES = (16, 8, 4, 2, 1)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


def unguided(x, stride):
    return x


class PackNet(nn.Module):
    def __init__(self, shape=TINY, pack_padding='once', kind='bounded'):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = PackNetEncoder(shape, pack_padding)
        self.decoder = PackNetDecoder(shape, InverseDepthMapping(kind))

    def forward(self, image):
        return self.decoder(self.encoder(image), unguided)


def with_random_biases(network):
    """Return it with biases: while they are zero, much of what padding does does not show."""
    with torch.no_grad():
        for parameter in network.encoder.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.2, 1.0)
    return network


@pytest.mark.parametrize(
    ('shape', 'published', 'folded', 'gmac', 'folded_gmac'),
    [
        (PACKNET01, 128_294_020, 60_364_836, 205.158, 103.007),
        (PACKNET01_SLIM, 76_997_796, 61_469_300, 71.318, 58.542),
    ],
)
def test_packnet_has_the_published_size_and_about_half_of_it_folded(
    shape, published, folded, gmac, folded_gmac
):
    with torch.device('meta'):
        network = PackNet(shape, 'each')
        image = torch.empty(1, 3, 192, 640)
        small = fold_packing(network)
    assert count_parameters(network) == published
    assert count_parameters(small) == folded
    assert count_gmac(network, image) == pytest.approx(gmac, abs=1e-3)
    assert count_gmac(small, image) == pytest.approx(folded_gmac, abs=1e-3)


def test_half_of_the_arithmetic_is_the_first_packing():
    with torch.device('meta'):
        network, image = PackNet(PACKNET01, 'each'), torch.empty(1, 3, 192, 640)
        (first,) = count_layers(network, {'first': network.encoder.packs[0]}, image)
        gmac = count_gmac(network, image)
    assert first.multiplications / 1e9 == pytest.approx(0.5 * gmac, rel=0.01)


def test_pixel_adaptive_convolutions_count_as_convolutions():
    layer = PacConv2d(16, 32, 8)
    assert count_gmac(layer, torch.rand(1, 16, 10, 12), torch.rand(1, 8, 10, 12)) == (
        pytest.approx(9 * 16 * 32 * 120 / 1e9)
    )


@pytest.mark.parametrize('kind', ['bounded', 'open'])
def test_inverse_depth_comes_at_four_scales_and_starts_near_the_initial_depth(kind):
    network = PackNet(kind=kind)
    inverse_depth = network(torch.rand(2, 3, 64, 96))
    assert [tuple(d.shape) for d in inverse_depth] == [
        (2, 1, 64 // s, 96 // s) for s in (1, 2, 4, 8)
    ]
    for d in inverse_depth:
        assert 8.0 < 1 / d.mean() < 25.0


def test_every_convolution_learns():
    network = PackNet()
    sum(d.square().mean() for d in network(torch.rand(1, 3, 64, 64))).backward()
    convolutions = {n: m for n, m in network.named_modules() if isinstance(m, CONVOLUTIONS)}
    assert len(convolutions) == 61
    still = [n for n, m in convolutions.items() if not m.weight.grad.abs().max() > 1e-9]
    assert not still


def test_encoder_gives_every_stride_and_the_decoder_guides_every_level():
    network = PackNet()
    features = network.encoder(torch.rand(1, 3, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [
        (c, 64 // s, 96 // s) for c, s in zip(TINY.channels, (1, 2, 4, 8, 16, 32))
    ]
    seen = []

    def guide(x, stride):
        seen.append(stride)
        assert x.shape[1:] == (network.decoder.level_channels[stride], 64 // stride, 96 // stride)
        return x.flip(-1)

    guided = network.decoder(features, guide)
    assert tuple(seen) == STRIDES
    for d, plain in zip(guided, network.decoder(features, unguided)):
        assert (d - plain).abs().max() > 1e-6


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-10), (torch.float32, 5e-5)])
def test_folded_network_says_the_same_when_padded_once(dtype, tolerance):
    network = with_random_biases(PackNet()).to(dtype).eval()
    folded = fold_packing(network)
    image = torch.rand(1, 3, 64, 96, dtype=dtype)
    with torch.no_grad():
        for ours, expected in zip(folded.encoder(image), network.encoder(image)):
            torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance)
        for ours, expected in zip(folded(image), network(image)):
            torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance)


def test_folded_network_is_another_one_with_the_published_padding():
    network = with_random_biases(PackNet(pack_padding='each')).eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        first, folded_first = network.encoder(image)[1], fold_packing(network).encoder(image)[1]
    assert (first - folded_first).abs().max() > 0.1


def test_folded_encoder_has_no_3d_convolution_and_the_original_stays():
    network = PackNet()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fold_packing(network)
    assert not any(isinstance(m, nn.Conv3d | Pack) for m in folded.encoder.modules())
    assert any(isinstance(m, nn.Conv3d) for m in folded.decoder.modules())  # of its unpackings
    assert before.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    shared = {p.data_ptr() for p in network.parameters()} & {
        p.data_ptr() for p in folded.parameters()
    }
    assert not shared
    again = fold_packing(folded)
    assert again.state_dict().keys() == folded.state_dict().keys()


def test_narrow_networks_scale_and_refuse_widths_that_do_not_split_into_groups():
    assert PACKNET01.scaled(32) == PackNetShape((32, 32, 32, 64, 128, 256), 8)
    assert PACKNET01_SLIM.scaled(16) == PackNetShape((16, 16, 32, 64, 128, 256), 4)
    assert PACKNET01.scaled(64) == PACKNET01
    for shape, width, step in ((PACKNET01, 16, 32), (PACKNET01_SLIM, 24, 16), (PACKNET01, 0, 32)):
        with pytest.raises(UserError, match=f'encoder_width {width}: .* multiple of {step}'):
            shape.scaled(width)
    with torch.device('meta'):
        PackNet(PACKNET01.scaled(32))
        PackNet(PACKNET01_SLIM.scaled(16))
