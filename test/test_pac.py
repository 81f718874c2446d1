"""The pixel-adaptive convolution: fast form against the formula, values and gradients."""

import math

import pytest
import torch
from torch.nn import functional

from training.networks.pac import PacConv2d
from training.networks.pac import pac_conv2d
from training.networks.pac import pac_conv2d_reference


def arguments(height=5, width=6, requires_grad=True):
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, height, width), (2, 4, height, width), (5, 3, 3, 3), (5,), ())
    return [
        torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_(requires_grad)
        for s in shapes
    ]


def test_fast_form_gives_the_values_of_the_formula():
    torch.testing.assert_close(pac_conv2d(*arguments()), pac_conv2d_reference(*arguments()))


def test_fast_form_gives_the_gradients_of_the_formula():
    cotangent = torch.randn(2, 5, 5, 6, dtype=torch.float64)
    for_fast, for_reference = arguments(), arguments()
    pac_conv2d(*for_fast).backward(cotangent)
    pac_conv2d_reference(*for_reference).backward(cotangent)
    for fast, reference in zip(for_fast, for_reference):
        torch.testing.assert_close(fast.grad, reference.grad)


@pytest.mark.parametrize('form', [pac_conv2d, pac_conv2d_reference])
def test_gradients_agree_with_finite_differences(form):
    assert torch.autograd.gradcheck(form, arguments(3, 4))


def test_formula_written_as_loops_gives_the_same_values():
    x, f, weight, bias, log_sigma = arguments(3, 4, requires_grad=False)
    expected = bias.view(1, -1, 1, 1).repeat(2, 1, 3, 4)
    sigma = math.exp(log_sigma)
    for b in range(2):
        for i in range(3):
            for j in range(4):
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        k, m = i + dy, j + dx
                        if 0 <= k < 3 and 0 <= m < 4:
                            distance = (f[b, :, i, j] - f[b, :, k, m]).square().sum()
                            kernel = math.exp(-0.5 * distance / sigma**2)
                            tap = weight[:, :, dy + 1, dx + 1]
                            expected[b, :, i, j] += kernel * tap @ x[b, :, k, m]
    torch.testing.assert_close(pac_conv2d(x, f, weight, bias, log_sigma), expected)


def test_constant_guidance_gives_the_ordinary_convolution():
    x, f, weight, bias, log_sigma = arguments()
    ordinary = functional.conv2d(x, weight, bias, padding=1)
    torch.testing.assert_close(
        pac_conv2d(x, torch.zeros_like(f), weight, bias, log_sigma), ordinary
    )


def test_kernels_start_open_whatever_the_number_of_channels():
    torch.manual_seed(0)
    for channels in (16, 64):
        noise = torch.randn(1, channels, 40, 40)
        # Neighbours correlate at 0.9: f = sqrt(0.9) common + sqrt(0.1) own.
        guidance = 0.9**0.5 * torch.randn(1, channels, 1, 1) + 0.1**0.5 * noise
        assert PacConv2d(4, 4, channels).mean_kernel(guidance) > 0.8


def test_mean_kernel_is_that_of_the_formula():
    layer = PacConv2d(2, 2, 4)
    guidance = torch.randn(1, 4, 3, 3)
    total, pairs = 0.0, 0
    for i in range(9):
        for j in range(9):
            (a, b), (c, d) = divmod(i, 3), divmod(j, 3)
            if i != j and max(abs(a - c), abs(b - d)) == 1:
                distance = (guidance[0, :, a, b] - guidance[0, :, c, d]).square().sum()
                total += math.exp(-0.5 * distance / 4)
                pairs += 1
    assert layer.mean_kernel(guidance).item() == pytest.approx(total / pairs, rel=1e-5)
