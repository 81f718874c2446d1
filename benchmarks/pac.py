"""
Pixel-adaptive convolution: its forms against the unfold reference and an ordinary convolution.

    python -m benchmarks.pac [--threads N] [--device cuda] [--contiguous]
                             [--repeats N] [--figures FILE]

Per size and form: the time of a forward pass without gradients and of forward and backward
together, how many times faster than the reference that is, and the most that is allocated beyond
inputs and parameters, as a share of the reference's. ONNX Runtime: benchmarks/pac_onnx.py.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity
from torch.profiler import profile

from benchmarks.figures import Figure
from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import write_figures
from training.networks.pac import pac_conv2d
from training.networks.pac import pac_conv2d_reference
from training.networks.pac_standard import pac_conv2d_standard

SIZES = (  # C, O, D, H, W
    (64, 64, 64, 48, 160),
    (128, 64, 64, 48, 160),
    (32, 32, 32, 96, 320),
    (256, 256, 64, 12, 40),
)
Form = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def plain(x: Tensor, guidance: Tensor, weight: Tensor, bias: Tensor, _: Tensor) -> Tensor:
    """Convolve without guidance: the least that any form can take."""
    return functional.conv2d(x, weight, bias, padding=1)


FORMS: dict[str, Form] = {
    'conv2d': plain,
    'reference (unfold)': pac_conv2d_reference,
    'plain operators (export)': pac_conv2d_standard,
    'strips (default)': pac_conv2d,
}


class Cost(NamedTuple):
    """What a form costs at one size."""

    forward_ms: float
    both_ms: float
    forward_bytes: int
    both_bytes: int


def inputs_of(
    size: tuple[int, int, int, int, int], device: str, layout: torch.memory_format
) -> list[Tensor]:
    """Return v, f, W, b and log sigma of one image, which all take gradients."""
    channels, filters, guides, height, width = size
    torch.manual_seed(0)
    x = torch.randn(1, channels, height, width, device=device).contiguous(memory_format=layout)
    f = torch.randn(1, guides, height, width, device=device).contiguous(memory_format=layout)
    weight = torch.randn(filters, channels, 3, 3, device=device) / (9 * channels) ** 0.5
    weight = weight.contiguous(memory_format=layout)
    bias = torch.randn(filters, device=device)
    log_sigma = torch.tensor(0.5 * guides, device=device).log()
    return [t.requires_grad_() for t in (x, f, weight, bias, log_sigma)]


def steps_of(form: Form, inputs: list[Tensor]) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a forward pass, and one with its backward pass."""
    cotangent = torch.ones_like(form(*inputs))

    def forward() -> None:
        with torch.no_grad():
            form(*inputs)

    def both() -> None:
        torch.autograd.grad(form(*inputs), inputs, cotangent, allow_unused=True)

    return forward, both


def times_ms(steps: list[Callable[[], None]], repeats: int, device: str) -> list[float]:
    """Return the shortest time of each, interleaved so that all see the same neighbours."""
    best = [float('inf')] * len(steps)
    for repeat in range(repeats + 1):
        for index, step in enumerate(steps):
            _wait(device)
            started_s = time.perf_counter()
            step()
            _wait(device)
            if repeat > 0:
                best[index] = min(best[index], time.perf_counter() - started_s)
    return [1e3 * seconds for seconds in best]


def peak_bytes(step: Callable[[], None], device: str) -> int:
    """Return how much more is allocated at most than before."""
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return int(torch.cuda.max_memory_allocated() - before)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    results = profiler.profiler.kineto_results  # type: ignore[union-attr]
    allocations = [e for e in results.events() if e.name() == '[memory]']
    now = peak = 0
    for event in sorted(allocations, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def measure(
    size: tuple[int, int, int, int, int], repeats: int, device: str, layout: torch.memory_format
) -> list[Cost]:
    """Measure all forms at one size, after comparing their values."""
    inputs = inputs_of(size, device, layout)
    with torch.no_grad():
        expected = pac_conv2d_reference(*inputs)
        for form in list(FORMS.values())[1:]:
            torch.testing.assert_close(form(*inputs), expected, rtol=1e-3, atol=1e-3)
    pairs = [steps_of(form, inputs) for form in FORMS.values()]
    forward_ms = times_ms([forward for forward, _ in pairs], repeats, device)
    both_ms = times_ms([both for _, both in pairs], repeats, device)
    return [
        Cost(f_ms, b_ms, peak_bytes(forward, device), peak_bytes(both, device))
        for f_ms, b_ms, (forward, both) in zip(forward_ms, both_ms, pairs)
    ]


def figures_of(name: str, cost: Cost, reference: Cost) -> list[Figure]:
    """Return what ``make bench`` compares."""
    base, both = 'unfold', 'forward and backward'
    both_mb, reference_mb = cost.both_bytes / 1e6, reference.both_bytes / 1e6
    return [
        less_is_better(f'{name} forward', cost.forward_ms, 'ms', base, reference.forward_ms),
        less_is_better(f'{name} {both}', cost.both_ms, 'ms', base, reference.both_ms),
        less_is_better(f'{name} memory', both_mb, 'MB', base, reference_mb),
    ]


def _wait(device: str) -> None:
    if device != 'cpu':
        torch.cuda.synchronize()


def main() -> None:
    """Print a table per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--threads', type=int, default=1, help='CPU threads of torch')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu', help='where to run')
    parser.add_argument('--contiguous', action='store_true', help='inputs channels first')
    parser.add_argument('--repeats', type=int, default=15, help='the best of which counts')
    add_figures_option(parser)
    options = parser.parse_args()
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # the profiler says when it starts and stops
    torch.set_num_threads(options.threads)
    # As cuDNN computes by default, in TensorFloat-32, forms would differ by its ten bits.
    torch.backends.cudnn.allow_tf32 = False
    # Channels last is how training lays out its tensors.
    layout = torch.contiguous_format if options.contiguous else torch.channels_last
    figures: list[Figure] = []
    console = Console(width=110)
    console.print(
        f'torch {torch.__version__}, {options.device}, {options.threads} threads, {layout}'
    )
    for size in SIZES:
        costs = measure(size, options.repeats, options.device, layout)
        table = Table(
            'form',
            'forward',
            'faster',
            'memory',
            'share',
            '+ backward',
            'faster',
            'memory',
            'share',
            title=f'C, O, D, H, W = {", ".join(map(str, size))}',
            title_justify='left',
        )
        for name, cost in zip(FORMS, costs):
            reference = costs[1]
            table.add_row(
                name,
                f'{cost.forward_ms:.1f} ms',
                f'{reference.forward_ms / cost.forward_ms:.1f} x',
                f'{cost.forward_bytes / 1e6:.1f} MB',
                f'{cost.forward_bytes / reference.forward_bytes:.2f}',
                f'{cost.both_ms:.1f} ms',
                f'{reference.both_ms / cost.both_ms:.1f} x',
                f'{cost.both_bytes / 1e6:.1f} MB',
                f'{cost.both_bytes / reference.both_bytes:.2f}',
            )
        console.print(table)
        figures += figures_of(f'({", ".join(map(str, size))})', costs[-1], costs[1])
    write_figures(figures, options.figures)


if __name__ == '__main__':
    main()
