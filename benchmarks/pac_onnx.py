"""
Pixel-adaptive convolution through ONNX Runtime on the CPU, in every form of pac_forms.

    python -m benchmarks.pac_onnx [--threads N] [--size N] [--figures FILE]
"""

import argparse
import math
import statistics
import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import nn
from torch.nn import functional

from benchmarks.figures import Figure
from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import write_figures
from benchmarks.pac_forms import FORMS
from benchmarks.pac_forms import Form
from benchmarks.pac_forms import pair_kernel
from benchmarks.pac_forms import plain
from training.exporting.onnx_graph import DEFAULT_OPSET
from training.exporting.onnx_graph import trace_graph
from training.networks.pac import pac_conv2d_reference
from training.networks.pac_standard import pac_conv2d_standard
from training.networks.pac_standard import pixel_pairs

REPEATS = 15


class Size(NamedTuple):
    """Channels in, out and of the guidance; the map."""

    channels: int
    filters: int
    guidance: int
    height: int
    width: int


SIZES = (
    Size(64, 64, 64, 48, 160),
    Size(128, 64, 64, 48, 160),
    Size(32, 32, 32, 96, 320),
    Size(256, 256, 64, 12, 40),
)
DEFORM_OPSET = 19  # the first with DeformConv


class Layer(nn.Module):
    """One form with its parameters."""

    def __init__(self, form: Form, size: Size) -> None:
        super().__init__()
        self.form = form
        template = nn.Conv2d(size.channels, size.filters, 3)
        self.weight, self.bias = template.weight, template.bias
        self.log_sigma = nn.Parameter(torch.tensor(0.5 * math.log(size.guidance)))

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, O, H, W)."""
        return self.form(x, guidance, self.weight, self.bias, self.log_sigma)


def deformable(
    x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor | None, log_sigma: Tensor
) -> Tensor:
    """
    Deform nothing, and give K as the mask of ONNX's deformable convolution: the formula itself.

    For export only, and not every ONNX Runtime knows the operator on the CPU.
    """
    batch, _, height, width = x.shape
    one = torch.ones(batch, 1, height, width)
    mask = [one] * 9
    for pairs in pixel_pairs(height, width):
        kernel = pair_kernel(guidance, pairs, log_sigma)
        mask[pairs.tap] = functional.pad(kernel, pairs.near_padding)
        mask[8 - pairs.tap] = functional.pad(kernel, pairs.far_padding)
    offsets = torch.zeros(batch, 18, height, width)
    out = torch.onnx.ops.symbolic(
        'DeformConv',
        (x, weight, offsets, bias, torch.cat(mask, dim=1)),
        {'kernel_shape': [3, 3], 'pads': [1, 1, 1, 1]},
        dtype=x.dtype,
        shape=(batch, weight.shape[0], height, width),
    )
    assert isinstance(out, Tensor)
    return out


ALL_FORMS: Mapping[str, Form] = {
    'conv2d': plain,
    **FORMS,
    'deformable': deformable,
    'pac_conv2d_standard': pac_conv2d_standard,
}


class Exported(NamedTuple):
    """A form as a session of ONNX Runtime, with its inputs."""

    session: onnxruntime.InferenceSession
    feed: dict[str, NDArray[np.float32]]
    node_count: int


def export_form(name: str, size: Size, threads: int) -> Exported:
    """Export one form, and check its values against the formula."""
    torch.manual_seed(0)
    layer = Layer(ALL_FORMS[name], size).eval()
    x = torch.randn(1, size.channels, size.height, size.width)
    guidance = torch.randn(1, size.guidance, size.height, size.width)
    opset = DEFORM_OPSET if name == 'deformable' else DEFAULT_OPSET
    graph = trace_graph(layer, (x, guidance), ('x', 'guidance'), ('out',), opset)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    names = {value.name for value in session.get_inputs()}
    feed = {k: v.numpy() for k, v in (('x', x), ('guidance', guidance)) if k in names}
    form = plain if name == 'conv2d' else pac_conv2d_reference
    with torch.no_grad():
        expected = form(x, guidance, layer.weight, layer.bias, layer.log_sigma).numpy()
    np.testing.assert_allclose(session.run(None, feed)[0], expected, rtol=1e-4, atol=1e-5)
    return Exported(session, feed, len(graph.graph.node))


def measure(size: Size, threads: int) -> Figure:
    """Print one row per form; the forms take turns, so that a busy machine hits them all."""
    exported = {name: export_form(name, size, threads) for name in ALL_FORMS}
    times_ms: dict[str, list[float]] = {name: [] for name in exported}
    for _ in range(REPEATS):
        for name, (session, feed, _) in exported.items():
            started_s = time.process_time() if threads == 1 else time.perf_counter()
            session.run(None, feed)
            ended_s = time.process_time() if threads == 1 else time.perf_counter()
            times_ms[name].append(1e3 * (ended_s - started_s))
    median_ms = {name: statistics.median(times[1:]) for name, times in times_ms.items()}
    print('\nC, O, D, H, W = ' + ', '.join(map(str, size)))
    print(f'{"form":<26}{"median":>10}{"best":>10}{"/ conv2d":>10}{"unfolded /":>12}{"nodes":>8}')
    for name, ms in median_ms.items():
        print(
            f'{name:<26}{ms:>7.2f} ms{min(times_ms[name]):>7.2f} ms'
            f'{ms / median_ms["conv2d"]:>10.2f}{median_ms["unfolded"] / ms:>12.2f}'
            f'{exported[name].node_count:>8}',
            flush=True,
        )
    ours, name = 'pac_conv2d_standard', f'({", ".join(map(str, size))})'
    return less_is_better(name, median_ms[ours], 'ms', 'unfold', median_ms['unfolded'])


def main() -> None:
    """Print a table per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--threads', type=int, default=1, help='of ONNX Runtime (default: 1)')
    parser.add_argument(
        '--size', type=int, choices=range(len(SIZES)), help='which of the sizes; all by default'
    )
    add_figures_option(parser)
    options = parser.parse_args()
    sizes = SIZES if options.size is None else (SIZES[options.size],)
    write_figures([measure(size, options.threads) for size in sizes], options.figures)


if __name__ == '__main__':
    main()
