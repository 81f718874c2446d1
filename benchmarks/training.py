"""
Training: samples per second, peak memory, and where the time of a step goes.

    python -m benchmarks.training [--device cpu|cuda] [--architecture NAME ...]
        [--guidance none|pac|spade ...] [--size 640x192] [--batch N] [--steps N]
        [--precision 32-true|bf16-mixed] [--objective plain|fast|compiled|all ...]
        [--figures FILE]

The real thing: `DepthModule` trained by Lightning from `DepthData`, which reads a drive of noise,
JPEGs in a temporary folder, or --dataset. The semantic network is a ResNet-18 of random weights.
Every row runs in a process of its own; its ratio is to the first row of its architecture, as a
rule the unguided network with the plain objective. Objectives: plain as the formulas read, fast by
hand, compiled by torch.compile; all: compiled, and the networks too.

Shares of time, forwards and backwards together. data: waiting for a batch, and copying it to the
device. warping: only where the objective computes it apart from the rest of the loss. other:
Lightning, colours, logging. On CUDA they are of the device's time, on a CPU with one thread of CPU
seconds, which other programs do not disturb.
"""

import argparse
import logging
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from typing import NamedTuple

import cv2
import lightning
import numpy as np
import torch

from benchmarks.figures import Figure
from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import more_is_better
from benchmarks.figures import write_figures
from benchmarks.stages import Staged
from benchmarks.stages import Timeline
from benchmarks.stages import stage_function
from sg_depth_ros.camera import Intrinsics
from training.data.datamodule import DepthData
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import frame_path
from training.data.drive import write_drive
from training.data.drive import write_frame
from training.networks.depth import DepthNetworkConfig
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.segmentation import segmentation_checkpoint
from training.objective import depth_module
from training.objective import reprojection
from training.objective import reprojection_gradient
from training.objective.depth_module import DepthModule
from training.objective.objective import objective

STAGES = ('data', 'semantic', 'depth', 'pose', 'warping', 'loss', 'optimizer', 'other')

# Form, and what is compiled.
OBJECTIVES = {
    'plain': ('plain', 'nothing'),
    'fast': ('fast', 'nothing'),
    'compiled': ('plain', 'objective'),
    'all': ('plain', 'all'),
}


@dataclass(frozen=True)
class Job:
    """One row of the table."""

    architecture: Any = 'resnet18'
    guidance: Any = 'none'
    objective: str = 'fast'
    compile: Any = 'nothing'
    width: int = 640
    height: int = 192
    device: str = 'cpu'
    precision: Any = '32-true'
    batch: int = 4
    steps: int = 5
    warmup: int = 1
    workers: int = 0
    threads: int = 1


class Result(NamedTuple):
    """What one row says; memory without that of the process before there was a network."""

    samples_per_s: float
    peak_mib: float
    shares: dict[str, float]


def write_noise(root: Path, width: int, height: int, frames: int) -> None:
    """Write a drive of smooth noise, about as large in JPEG as pictures of a road, at 5 m/s."""
    folder = root / 'noise'
    (folder / 'frames').mkdir(parents=True)
    random = np.random.default_rng(0)
    for index in range(frames):
        coarse = random.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        grain = random.normal(0, 4, (height, width, 1))
        image = np.clip(smooth + grain, 0, 255).astype(np.uint8)
        write_frame(image, frame_path(folder, index))
    f_px = 0.58 * width
    camera = Intrinsics(f_px, f_px, (width - 1) / 2, (height - 1) / 2, width, height)
    stamps_ns = range(0, frames * 100_000_000, 100_000_000)
    drive = Drive(
        name=folder.name,
        source='noise',
        intrinsics=camera,
        original_intrinsics=camera,
        frames=tuple(Frame(i, stamp_ns, speed_m_s=5.0) for i, stamp_ns in enumerate(stamps_ns)),
    )
    write_drive(drive, folder)


def build(job: Job, folder: Path) -> DepthModule:
    """Return the module, with a random semantic network where it is guided."""
    torch.manual_seed(0)
    segmentation = None
    if job.guidance != 'none':
        segmentation = folder / 'segmentation.ckpt'
        torch.save(
            segmentation_checkpoint(SegmentationNetwork(SegmentationConfig())), segmentation
        )
    network = DepthNetworkConfig(architecture=job.architecture, guidance=job.guidance)
    name = None if segmentation is None else str(segmentation)
    return DepthModule(name, network, compile=job.compile)


def add_stages(timeline: Timeline, module: DepthModule, job: Job) -> None:
    """Let the parts of the module mark themselves."""
    network = module.network
    network.depth = Staged(timeline, 'depth', network.depth)  # type: ignore[assignment]
    module.pose = Staged(timeline, 'pose', module.pose)  # type: ignore[assignment]
    if network.segmentation is not None:
        network.segmentation = Staged(timeline, 'semantic', network.segmentation)  # type: ignore
    if module.compiled_objective is not None:
        module.compiled_objective = timeline.staged('loss', module.compiled_objective)
        return
    form: Any = job.objective
    staged = timeline.staged('loss', partial(objective, form=form))
    depth_module.objective = staged  # type: ignore[attr-defined]
    stage_function(timeline, 'warping', reprojection, 'synthesise')
    for name in ('_find', '_look_up', '_pull_back'):
        stage_function(timeline, 'warping', reprojection_gradient, name)


class StepMarks(lightning.Callback):
    """Marks what Lightning does around the networks, and forgets the first steps."""

    def __init__(self, timeline: Timeline, warmup: int) -> None:
        self.timeline = timeline
        self.warmup = warmup

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        """The batch is on the device."""
        self.timeline.mark('other')

    def on_before_zero_grad(self, *_: Any) -> None:
        """The loss is there; the optimiser clears its gradients."""
        self.timeline.mark('optimizer')

    def on_before_backward(self, *_: Any) -> None:
        """The gradient starts at the loss."""
        self.timeline.mark('loss')

    def on_after_backward(self, *_: Any) -> None:
        """Gradients are clipped and applied."""
        self.timeline.mark('optimizer')

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """The next batch is waited for."""
        self.timeline.mark('data')
        if trainer.global_step == self.warmup:
            self.timeline.clear()
            if self.timeline.cuda:
                torch.cuda.reset_peak_memory_stats()


def peak_mib(cuda: bool) -> float:
    """Return the most memory that was in use: of the device, or of this process."""
    if cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == 'darwin' else 2**10)


def measure(job: Job, dataset: Path) -> Result:
    """Measure one row; in a process of its own, whose peak memory is the row's."""
    warnings.simplefilter('ignore')
    logging.getLogger('lightning.pytorch').setLevel(logging.WARNING)
    torch.set_num_threads(job.threads)
    cuda = job.device == 'cuda'
    timeline = Timeline(cuda, time.process_time if job.threads == 1 else time.perf_counter)
    data = DepthData(
        str(dataset), batch_size=job.batch, workers=job.workers, allow_test_drives=True
    )
    before_mib = peak_mib(cuda)
    with tempfile.TemporaryDirectory() as folder:
        module = build(job, Path(folder))
    add_stages(timeline, module, job)
    trainer = lightning.Trainer(
        accelerator='gpu' if cuda else 'cpu',
        devices=1,
        precision=job.precision,
        max_epochs=-1,
        max_steps=job.warmup + job.steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[StepMarks(timeline, job.warmup)],
    )
    trainer.fit(module, datamodule=data)
    seconds = timeline.seconds()
    total_s = sum(seconds.values())
    shares = {stage: seconds.get(stage, 0.0) / total_s for stage in STAGES}
    return Result(job.batch * job.steps / total_s, peak_mib(cuda) - before_mib, shares)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--architecture', nargs='+', default=['resnet18', 'packnet01'])
    parser.add_argument('--guidance', nargs='+', default=['none', 'pac'])
    parser.add_argument('--objective', nargs='+', choices=OBJECTIVES, default=['plain', 'fast'])
    parser.add_argument('--size', default='640x192', help='WIDTHxHEIGHT')
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--steps', type=int, default=5, help='measured per row')
    parser.add_argument('--warmup', type=int, default=1, help='steps before')
    parser.add_argument('--precision', choices=('32-true', 'bf16-mixed'), default='32-true')
    parser.add_argument('--workers', type=int, default=0, help='of the loader')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads of torch')
    parser.add_argument('--dataset', type=Path, help='of prepare, instead of noise')
    add_figures_option(parser)
    return parser.parse_args()


def main() -> None:
    """Print one row per network and objective."""
    options = parse()
    width, height = map(int, options.size.split('x'))
    base = Job(
        width=width,
        height=height,
        **{
            name: getattr(options, name)
            for name in ('device', 'precision', 'batch', 'steps', 'warmup', 'workers', 'threads')
        },
    )
    device = torch.cuda.get_device_name() if base.device == 'cuda' else 'CPU'
    print(
        f'{device}, torch {torch.__version__}, {options.size}, batch {base.batch}, '
        f'{base.precision}, {base.threads} threads, {base.workers} workers, {base.steps} steps'
    )
    print(
        f'{"network, objective":<24}{"samples/s":>11}{"ratio":>7}{"peak MiB":>10}{"ratio":>7}  '
        + ''.join(f'{stage:>10}' for stage in STAGES)
    )
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        dataset = options.dataset
        if dataset is None:
            dataset = Path(folder)
            write_noise(dataset, width, height, 2 + base.batch * (base.warmup + base.steps))
        for architecture in options.architecture:
            first: Result | None = None
            plainest: dict[str, tuple[str, Result]] = {}  # of each guidance, for the figures
            for guidance, name in product(options.guidance, options.objective):
                form, compiled = OBJECTIVES[name]
                job = replace(
                    base,
                    architecture=architecture,
                    guidance=guidance,
                    objective=form,
                    compile=compiled,
                )
                result = measured_alone(job, dataset)
                first = first or result
                row = f'{architecture} {guidance} {name}'
                print_row(row, result, first)
                plain_name, plain = plainest.setdefault(guidance, (name, result))
                if plain is not result:
                    figures += figures_of(row, result, plain_name, plain)
    write_figures(figures, options.figures)


def measured_alone(job: Job, dataset: Path) -> Result:
    """Measure in a process of its own, which unlike a pool's may start loader processes."""
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        return executor.submit(measure, job, dataset).result()


def figures_of(name: str, result: Result, base_name: str, base: Result) -> list[Figure]:
    """Return what ``make bench`` compares."""
    speed, peak = result.samples_per_s, result.peak_mib
    return [
        more_is_better(f'{name}: speed', speed, 'samples/s', base_name, base.samples_per_s),
        less_is_better(f'{name}: memory', peak, 'MiB', base_name, base.peak_mib),
    ]


def print_row(name: str, result: Result, first: Result) -> None:
    print(
        f'{name:<24}{result.samples_per_s:>11.2f}'
        f'{result.samples_per_s / first.samples_per_s:>7.2f}'
        f'{result.peak_mib:>10.0f}{result.peak_mib / first.peak_mib:>7.2f}  '
        + ''.join(f'{100 * result.shares[stage]:>8.1f} %' for stage in STAGES),
        flush=True,
    )


if __name__ == '__main__':
    main()
