"""Packing, unpacking, and packing folded into one convolution."""

import pytest
import torch
from torch.nn import functional

from training.networks.packing import FOLDING_PIXELS
from training.networks.packing import Pack
from training.networks.packing import Unpack
from training.networks.packing import fold_pack

CASES = pytest.mark.parametrize(('kernel_size', 'features_3d'), [(3, 8), (5, 4)])
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}


def random_pack(kernel_size, features_3d, padding, dtype=torch.float64):
    torch.manual_seed(kernel_size)
    pack = Pack(16, kernel_size, features_3d, padding).to(dtype)
    with torch.no_grad():
        for parameter in pack.parameters():
            parameter.uniform_(-0.3, 0.3)
    return pack


def packed_by_hand(x):
    """Channel 4 c + 2 i + j holds the pixels of channel c in odd or even rows i, columns j."""
    shifted = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.stack(shifted, dim=2).flatten(1, 2)


@CASES
def test_published_padding_is_the_papers_definition(kernel_size, features_3d):
    pack = random_pack(kernel_size, features_3d, 'each')
    x = torch.rand(2, 16, 12, 16, dtype=torch.float64)
    volume = functional.conv3d(
        packed_by_hand(x).unsqueeze(1), pack.conv3d.weight, pack.conv3d.bias, padding=1
    )
    stacked = torch.cat([volume[:, d] for d in range(features_3d)], dim=1)
    convolved = functional.conv2d(
        stacked, pack.conv.weight, pack.conv.bias, padding=kernel_size // 2
    )
    expected = functional.elu(
        functional.group_norm(convolved, 16, pack.norm.weight, pack.norm.bias)
    )
    torch.testing.assert_close(pack(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('dtype', TOLERANCE)
@CASES
def test_folded_pack_is_the_same_everywhere_when_padded_once(kernel_size, features_3d, dtype):
    pack = random_pack(kernel_size, features_3d, 'once', dtype)
    folded = fold_pack(pack)
    assert folded.conv.kernel_size == (kernel_size + 2, kernel_size + 2)
    x = torch.rand(2, 16, 12, 16, dtype=dtype)
    assert folded(x).dtype == dtype
    torch.testing.assert_close(folded(x), pack(x), rtol=0, atol=10 * TOLERANCE[dtype])
    packed = functional.pixel_unshuffle(x, 2)
    definition = pack.unfolded(packed)
    relative = (folded.conv(packed) - definition).abs().max() / definition.abs().max()
    assert relative < TOLERANCE[dtype]


@pytest.mark.parametrize('dtype', TOLERANCE)
@CASES
def test_folded_published_padding_differs_at_the_border_only(kernel_size, features_3d, dtype):
    pack = random_pack(kernel_size, features_3d, 'each', dtype)
    packed = torch.rand(2, 64, 10, 12, dtype=dtype)
    definition = pack.unfolded(packed)
    difference = (fold_pack(pack).conv(packed) - definition).abs() / definition.abs().max()
    border = kernel_size // 2
    inside = difference[..., border:-border, border:-border].clone()
    difference[..., border:-border, border:-border] = 1  # what is left is the border
    assert inside.max() < TOLERANCE[dtype]
    assert difference.amin() > 0
    assert difference.median() > 1e-2


@pytest.mark.parametrize('kernel_size', [3, 5])
def test_large_batch_folds_by_itself_and_learns_the_same(kernel_size):
    pack = random_pack(kernel_size, 4, 'once')
    one = torch.rand(1, 16, 24, 32, dtype=torch.float64)
    many = torch.cat([one, torch.rand(7, 16, 24, 32, dtype=torch.float64)])
    assert one.shape[0] * 12 * 16 < FOLDING_PIXELS <= many.shape[0] * 12 * 16
    torch.testing.assert_close(pack(many)[:1], pack(one), rtol=0, atol=1e-12)

    cotangent = torch.randn(8, 16, 12, 16, dtype=torch.float64)

    def gradients(by_definition):
        pack.zero_grad()
        x = many.clone().requires_grad_()
        if by_definition:
            y = functional.elu(pack.norm(pack.unfolded(functional.pixel_unshuffle(x, 2))))
        else:
            y = pack(x)
        y.backward(cotangent)
        return [x.grad, *(p.grad.clone() for p in pack.parameters())]

    for ours, expected in zip(gradients(False), gradients(True)):
        assert expected.abs().max() > 0
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10)


def test_pack_folded_while_training_has_no_map_of_all_3d_features():
    pack = random_pack(3, 8, 'once', torch.float32)
    x = torch.rand(1, 16, 64, 64, requires_grad=True)
    sizes = []

    def keep(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        pack(x)
        folded = max(sizes)
        pack.unfolded(functional.pixel_unshuffle(x, 2))
    assert max(sizes) >= 8 * x.numel()
    assert folded < 2 * x.numel()


def test_unpack_shuffles_what_its_3d_convolution_says():
    torch.manual_seed(0)
    unpack = Unpack(32, 16, 4).double()
    x = torch.rand(2, 32, 6, 8, dtype=torch.float64)
    volume = unpack.conv3d(unpack.conv(x).unsqueeze(1))
    stacked = torch.cat([volume[:, d] for d in range(4)], dim=1)
    y = unpack(x)
    assert y.shape == (2, 16, 12, 16)
    torch.testing.assert_close(packed_by_hand(y), stacked)
