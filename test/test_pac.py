"""The pixel-adaptive convolution: its forms against the formula, values and gradients."""

import math

import pytest
import torch
from torch.nn import functional

from training.networks import pac_strips
from training.networks.pac import PacConv2d
from training.networks.pac import pac_conv2d
from training.networks.pac import pac_conv2d_reference
from training.networks.pac_standard import pac_conv2d_standard
from training.networks.pac_strips import mean_kernel
from training.networks.pac_strips import pair_kernels

FORMS = [pac_conv2d, pac_conv2d_standard]


@pytest.fixture(params=[2_500_000, 4_000, 1])
def strip_bytes(request, monkeypatch):
    """Let strips hold all images, two rows, one row."""
    monkeypatch.setitem(pac_strips.STRIP_BYTES, 'cpu', request.param)


def arguments(height=5, width=6, requires_grad=True):
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, height, width), (2, 4, height, width), (5, 3, 3, 3), (5,), ())
    return [
        torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_(requires_grad)
        for s in shapes
    ]


def gradients(form, values, cotangent):
    inputs = [value.detach().clone().requires_grad_() for value in values]
    return torch.autograd.grad(form(*inputs), inputs, cotangent)


@pytest.mark.usefixtures('strip_bytes')
@pytest.mark.parametrize('form', FORMS)
def test_every_form_gives_the_values_of_the_formula(form):
    torch.testing.assert_close(form(*arguments()), pac_conv2d_reference(*arguments()))


@pytest.mark.usefixtures('strip_bytes')
@pytest.mark.parametrize('form', FORMS)
def test_every_form_gives_the_gradients_of_the_formula(form):
    cotangent = torch.randn(2, 5, 5, 6, dtype=torch.float64)
    expected = gradients(pac_conv2d_reference, arguments(), cotangent)
    for value, wanted in zip(gradients(form, arguments(), cotangent), expected):
        torch.testing.assert_close(value, wanted)


@pytest.mark.parametrize('form', [*FORMS, pac_conv2d_reference])
def test_gradients_agree_with_finite_differences(form):
    assert torch.autograd.gradcheck(form, arguments(3, 4))


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_memory_layout_does_not_matter(layout):
    x, f, *rest = arguments(requires_grad=False)
    given = [x.contiguous(memory_format=layout), f.contiguous(memory_format=layout), *rest]
    torch.testing.assert_close(pac_conv2d(*given), pac_conv2d_reference(x, f, *rest))


@pytest.mark.parametrize('form', [*FORMS, pac_conv2d_reference])
def test_bias_may_be_missing(form):
    x, f, weight, _, log_sigma = arguments(requires_grad=False)
    without = form(x, f, weight, None, log_sigma)
    torch.testing.assert_close(without, form(x, f, weight, torch.zeros(5).double(), log_sigma))


@pytest.mark.parametrize('form', FORMS)
def test_mixed_precision_computes_kernels_in_float32(form):
    """Guidance whose squared differences no half-precision number can hold."""
    x, _, weight, bias, _ = (value.float() for value in arguments(requires_grad=False))
    f = 300 * torch.arange(6.0).expand(2, 4, 5, 6)
    log_sigma = torch.tensor(300.0).log()
    expected = pac_conv2d_reference(x, f, weight, bias, log_sigma)
    with torch.autocast('cpu', torch.bfloat16):
        out = form(x, f, weight, bias, log_sigma)
    torch.testing.assert_close(out.float(), expected, rtol=0.05, atol=0.1)


def test_mixed_precision_trains():
    torch.manual_seed(0)
    layer = PacConv2d(4, 4, 16)
    x, f = torch.randn(2, 4, 6, 7), torch.randn(2, 16, 6, 7)
    layer(x, f).square().mean().backward()
    exact = {name: p.grad.clone() for name, p in layer.named_parameters()}
    layer.zero_grad()
    with torch.autocast('cpu', torch.bfloat16):
        layer(x, f).float().square().mean().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.dtype == torch.float32
        torch.testing.assert_close(parameter.grad, exact[name], rtol=0.1, atol=0.02)


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


@pytest.mark.parametrize('form', [*FORMS, pac_conv2d_reference])
def test_zero_guidance_gives_exactly_the_ordinary_convolution(form):
    """Of whole numbers, so that the order of sums does not matter and not a bit may differ."""
    x, f, weight, bias, log_sigma = ((10 * a).round() for a in arguments(requires_grad=False))
    ordinary = functional.conv2d(x, weight, bias, padding=1)
    assert torch.equal(form(x, torch.zeros_like(f), weight, bias, log_sigma), ordinary)


def test_kernels_start_open_whatever_the_number_of_channels():
    torch.manual_seed(0)
    for channels in (16, 64):
        noise = torch.randn(1, channels, 40, 40)
        # Neighbours correlate at 0.9: f = sqrt(0.9) common + sqrt(0.1) own.
        guidance = 0.9**0.5 * torch.randn(1, channels, 1, 1) + 0.1**0.5 * noise
        layer = PacConv2d(4, 4, channels)
        layer(torch.randn(1, 4, 40, 40), guidance)
        assert layer.last_mean_kernel > 0.8


def test_mean_kernel_is_that_of_the_formula():
    guidance = torch.randn(1, 4, 3, 3)
    total, pairs = 0.0, 0
    for i in range(9):
        for j in range(9):
            (a, b), (c, d) = divmod(i, 3), divmod(j, 3)
            if i != j and max(abs(a - c), abs(b - d)) == 1:
                distance = (guidance[0, :, a, b] - guidance[0, :, c, d]).square().sum()
                total += math.exp(-0.5 * distance / 4)
                pairs += 1
    mean = mean_kernel(pair_kernels(guidance, torch.tensor(2.0).log()))
    assert mean.item() == pytest.approx(total / pairs, rel=1e-5)


def test_closed_kernels_leave_a_pointwise_convolution_and_finite_gradients():
    x, f, weight, bias, _ = arguments()
    closed = [x, 1e4 * f.detach(), weight, bias, torch.tensor(0.0).double()]
    pointwise = functional.conv2d(x, weight[..., 1:2, 1:2], bias)
    torch.testing.assert_close(pac_conv2d(*closed), pointwise)
    for gradient in gradients(pac_conv2d, closed, torch.ones_like(pointwise)):
        assert gradient.isfinite().all()
