"""
PackNet unfolded against folded, on the CPU: size, arithmetic, time and memory of one image.

    python -m benchmarks.packnet [--threads N] [--height H] [--width W] [--runs N]
                                [--networks NAME ...] [--figures FILE]

Three forms of each network. "published": every packing is two convolutions, each padded on its
own. "pad once": ours while it trains; packings fold their weights in every pass. "folded": after
fold_packing, as it is deployed. Weights are arbitrary, since nothing here depends on them.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn

from benchmarks.figures import Figure
from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import write_figures
from training.networks.counting import count_gmac
from training.networks.counting import count_parameters
from training.networks.inverse_depth import InverseDepthMapping
from training.networks.packnet import PACKNET01
from training.networks.packnet import PACKNET01_SLIM
from training.networks.packnet import PackNetDecoder
from training.networks.packnet import PackNetEncoder
from training.networks.packnet import PackNetShape
from training.networks.packnet import fold_packing

NETWORKS = {'packnet01': PACKNET01, 'packnet01_slim': PACKNET01_SLIM}
FORMS = ('published', 'pad once', 'folded')


class Job(NamedTuple):
    """One row of the table."""

    network: str
    form: str
    height: int
    width: int
    threads: int
    runs: int


class Result(NamedTuple):
    """
    What one row says.

    Times are medians of CPU time; memory is the peak above the process before there was a network,
    weights included, and gradients in training.
    """

    parameters_m: float
    gmac: float
    forward_s: float
    training_s: float
    forward_mib: float
    training_mib: float


class PackNet(nn.Module):
    """The unguided network."""

    def __init__(self, shape: PackNetShape, form: str) -> None:
        super().__init__()
        self.encoder = PackNetEncoder(shape, 'each' if form == 'published' else 'once')
        self.decoder = PackNetDecoder(shape, InverseDepthMapping())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (B, 3, H, W) to inverse depth at four scales."""
        return self.decoder(self.encoder(image), lambda features, _: features)


def build(job: Job) -> tuple[nn.Module, float]:
    """Return the network and its GMAC; made without weights, so that folding leaves no trace."""
    with torch.device('meta'):
        network = PackNet(NETWORKS[job.network], job.form)
        if job.form == 'folded':
            network = fold_packing(network)
        gmac = count_gmac(network, torch.empty(1, 3, job.height, job.width))
    network.to_empty(device='cpu')
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.01, 0.01)
    return network, gmac


def peak_mib() -> float:
    """Return the most memory this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == 'darwin' else 2**10)


def median_s(step: Callable[[], None], runs: int) -> float:
    times = []
    for _ in range(runs):
        started_s = time.process_time()
        step()
        times.append(time.process_time() - started_s)
    return statistics.median(times)


def measure(job: Job) -> Result:
    """Measure one row; in a process of its own, whose peak memory is the row's."""
    torch.set_num_threads(job.threads)
    image = torch.rand(1, 3, job.height, job.width)
    before_mib = peak_mib()
    network, gmac = build(job)

    @torch.inference_mode()
    def forward() -> None:
        network(image)

    def train() -> None:
        torch.stack([d.mean() for d in network(image)]).sum().backward()

    forward_s = median_s(forward, job.runs)
    forward_mib = peak_mib() - before_mib
    training_s = median_s(train, job.runs)
    training_mib = peak_mib() - before_mib
    parameters_m = count_parameters(network) / 1e6
    return Result(parameters_m, gmac, forward_s, training_s, forward_mib, training_mib)


def figures_of(network: str, form: str, result: Result, published: Result) -> list[Figure]:
    """Return what ``make bench`` compares: training unless folded, else inference."""
    base = 'published'
    if form == 'folded':
        time_s, peak_mib = result.forward_s, result.forward_mib
        base_s, base_mib = published.forward_s, published.forward_mib
    else:
        time_s, peak_mib = result.training_s, result.training_mib
        base_s, base_mib = published.training_s, published.training_mib
    what = 'one image' if form == 'folded' else 'one step'
    return [
        less_is_better(f'{network} {form}: {what}', time_s, 's', base, base_s),
        less_is_better(f'{network} {form}: memory', peak_mib, 'MiB', base, base_mib),
    ]


def main() -> None:
    """Print one row per network and form, and each one's ratio to the published form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--threads', type=int, default=1, help='CPU threads of torch')
    parser.add_argument('--height', type=int, default=192)
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--runs', type=int, default=3, help='per time')
    parser.add_argument('--networks', nargs='+', choices=NETWORKS, default=list(NETWORKS))
    add_figures_option(parser)
    options = parser.parse_args()
    print(f'{options.width}x{options.height}, batch 1, {options.threads} threads; CPU seconds')
    print(
        f'{"":<26}{"parameters":>13}{"GMAC":>8}{"forward":>10}{"+ backward":>12}'
        f'{"peak MiB":>10}{"training":>10}'
    )
    figures: list[Figure] = []
    with multiprocessing.get_context('spawn').Pool(1, maxtasksperchild=1) as pool:
        for network in options.networks:
            published: Result | None = None
            for form in FORMS:
                job = Job(
                    network, form, options.height, options.width, options.threads, options.runs
                )
                r = pool.apply(measure, (job,))
                print(
                    f'{network:<16}{form:<10}{r.parameters_m:>11.2f} M{r.gmac:>8.1f}'
                    f'{r.forward_s:>10.2f}{r.training_s:>12.2f}'
                    f'{r.forward_mib:>10.0f}{r.training_mib:>10.0f}',
                    flush=True,
                )
                if published is not None:
                    figures += figures_of(network, form, r, published)
                published = published or r
                ratios = [was / now for was, now in zip(published, r)]
                print(
                    f'{"":<16}{"ratio":<10}{ratios[0]:>11.2f}  {ratios[1]:>8.2f}{ratios[2]:>10.2f}'
                    f'{ratios[3]:>12.2f}{ratios[4]:>10.2f}{ratios[5]:>10.2f}',
                    flush=True,
                )
    write_figures(figures, options.figures)


if __name__ == '__main__':
    main()
