"""
What semantics are worth: depth trained unguided, guided, and guided by nonsense.

    python -m benchmarks.guidance --data DATASET --out OUT [--judge DATASET] [--steps N]
        [--jobs N] [--segment OPTIONS] [--train OPTIONS]

The same training, with the same seed, steps and data: without guidance, guided by a semantic
network trained on the dataset's labels, and guided by one trained on shuffled labels, each image
having those of another one, shifted in a circle. That network has the same layers and costs the
same, but its classes mean nothing: only what the second training gains over the third is owed to
semantics. The fourth is the second with a depth encoder that starts as the semantic network's.

Writes OUT/table.md and OUT/curves.png, and a run folder per training. Steps that are finished
are kept, interrupted ones go on, when the same command is given again.
"""

import argparse
import csv
import json
import shlex
import shutil
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib import pyplot

from benchmarks.verbs import ROOT
from benchmarks.verbs import resumed
from benchmarks.verbs import run_verb
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.drive import read_labels
from training.data.drive import write_labels
from training.running.lidar_validation import VALIDATION_FILE


class Arm(NamedTuple):
    """One of the trainings that are compared."""

    name: str
    semantic: str | None  # what its semantic network learns from: labels, or shuffled ones
    starts_semantic: bool = False


ARMS = (
    Arm('unguided', None),
    Arm('guided', 'labels'),
    Arm('shuffled', 'shuffled'),
    Arm('guided_start', 'labels', starts_semantic=True),
)


class Outcome(NamedTuple):
    """What ``evaluate`` says of one training."""

    name: str
    minutes: float
    metrics: dict[str, dict[str, float]]  # unscaled and median_scaled of metrics.json
    curve: list[dict[str, float]]  # rows of validation.csv


def shuffle_labels(dataset: Path, out: Path, seed: int = 0) -> None:
    """Write a dataset whose frames have the labels of other frames, shifted in a circle."""
    random = np.random.default_rng(seed)
    unfinished = out.with_name(out.name + '.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)
    places, labels = [], []
    for folder in list_drives(dataset):
        target = unfinished / folder.name
        (target / 'frames').mkdir(parents=True)
        (target / 'labels').mkdir()
        shutil.copy(folder / 'drive.json', target)
        for frame in read_drive(folder).frames:
            shutil.copy(frame_path(folder, frame.index), frame_path(target, frame.index))
            if labels_path(folder, frame.index).exists():
                places.append(labels_path(target, frame.index))
                labels.append(read_labels(labels_path(folder, frame.index)))
    for place, other in zip(places, random.permutation(len(labels))):
        height, width = labels[other].shape
        shift = (int(random.integers(height)), int(random.integers(width)))
        write_labels(np.roll(labels[other], shift, axis=(0, 1)), place)
    unfinished.rename(out)


def train_semantic(labels: str, options: argparse.Namespace) -> Path:
    """Train a semantic network, unless there is one already."""
    out: Path = options.out / f'segment_{labels}'
    data = options.data if labels == 'labels' else options.out / 'shuffled_labels'
    if not (out / 'segmentation.ckpt').exists():
        settings = ['--config', options.segment_config, '--data.root', data, '--out', out]
        more = [*shlex.split(options.segment), *resumed(out)]
        run_verb(options.out / f'segment_{labels}.log', 'segment', *settings, *more)
    return out / 'segmentation.ckpt'


def train_arm(arm: Arm, semantic: dict[str, Future[Path]], options: argparse.Namespace) -> Outcome:
    """Train depth, unless that is done already, and evaluate."""
    out: Path = options.out / arm.name
    log = options.out / f'{arm.name}.log'
    choices = ['--model.network.guidance', 'none']
    if arm.semantic is not None:
        guide = str(semantic[arm.semantic].result())
        choices = ['--model.segmentation', guide]
        if arm.starts_semantic:
            choices += ['--model.initial_weights', guide, '--model.initial_parts', 'encoder']
    judge = options.judge or options.data
    if not (out / 'depth.ckpt').exists():
        settings = ['--config', options.config, '--data.root', options.data, '--out', out]
        settings += ['--validation.root', judge]
        if options.steps is not None:
            settings += ['--trainer.max_steps', str(options.steps)]
        run_verb(log, 'train', *settings, *choices, *shlex.split(options.train), *resumed(out))
    if not (out / 'evaluation/metrics.json').exists():
        judged = ['--model', out / 'depth.ckpt', '--data', judge, '--lidar-only']
        run_verb(log, 'evaluate', *judged, '--out', out / 'evaluation')
    return read_outcome(arm.name, out)


def read_outcome(name: str, depth: Path) -> Outcome:
    """Read what a finished training left."""
    with (depth / VALIDATION_FILE).open() as file:
        curve = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    metrics = json.loads((depth / 'evaluation/metrics.json').read_text())
    return Outcome(name, curve[-1]['seconds'] / 60, metrics, curve)


def table(outcomes: list[Outcome]) -> str:
    """Return the comparison as markdown; the first row is what the ratios are to."""
    lines = [
        '| training | minutes | AbsRel unscaled | ratio | AbsRel scaled | ratio | RMSE | a1 |',
        '|---|---|---|---|---|---|---|---|',
    ]
    base = outcomes[0].metrics
    for outcome in outcomes:
        plain, scaled = outcome.metrics['unscaled'], outcome.metrics['median_scaled']
        ratios = [
            part['abs_rel'] / base[key]['abs_rel']
            for key, part in (('unscaled', plain), ('median_scaled', scaled))
        ]
        lines.append(
            f'| {outcome.name} | {outcome.minutes:.1f} | {plain["abs_rel"]:.4f} | {ratios[0]:.3f} '
            f'| {scaled["abs_rel"]:.4f} | {ratios[1]:.3f} | {plain["rmse"]:.2f} / '
            f'{scaled["rmse"]:.2f} m | {plain["a1"]:.3f} / {scaled["a1"]:.3f} |'
        )
    return '\n'.join(lines) + '\n'


def draw_curves(outcomes: list[Outcome], path: Path) -> None:
    """Draw AbsRel over the steps."""
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True, layout='constrained')
    columns = (('abs_rel', 'unscaled'), ('abs_rel_scaled', 'median-scaled'))
    for panel, (column, title) in zip(panels, columns):
        for number, outcome in enumerate(outcomes):
            steps = [row['step'] for row in outcome.curve]
            values = [row[column] for row in outcome.curve]
            color = f'C{number}'
            panel.plot(steps, values, color=color, marker='.', label=outcome.name)
        panel.set(title=f'AbsRel, {title}', xlabel='step', yscale='log')
        panel.yaxis.set_major_formatter('{x:.2f}')
        panel.yaxis.set_minor_formatter('{x:.2f}')
        panel.grid(alpha=0.3, which='both')
        panel.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Train what is not trained yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', type=Path, required=True, help='dataset with labels')
    parser.add_argument('--judge', type=Path, help='dataset with LiDAR (default: the same)')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--steps', type=int, help='of each training, if not those of --config')
    parser.add_argument('--jobs', type=int, default=1, help='trainings at the same time')
    parser.add_argument('--config', default=str(ROOT / 'config/training/small.yaml'))
    parser.add_argument(
        '--segment-config', default=str(ROOT / 'config/training/segment_demo_real.yaml')
    )
    parser.add_argument('--segment', default='', metavar='OPTIONS', help='for segment, in quotes')
    parser.add_argument('--train', default='', metavar='OPTIONS', help='for train, in quotes')
    options = parser.parse_args()
    matplotlib.use('agg')
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.out / 'shuffled_labels').exists():
        shuffle_labels(options.data, options.out / 'shuffled_labels')
    with ThreadPoolExecutor(options.jobs) as pool:
        # Semantic networks first: the trainings that wait for them are behind them in the queue.
        semantic = {s: pool.submit(train_semantic, s, options) for s in ('labels', 'shuffled')}
        outcomes = list(pool.map(lambda arm: train_arm(arm, semantic, options), ARMS))
    draw_curves(outcomes, options.out / 'curves.png')
    text = table(outcomes)
    (options.out / 'table.md').write_text(text)
    print(text)


if __name__ == '__main__':
    main()
