"""
What resampling is worth where the truth is known: cars at the camera's own speed, their holes.

    python -m benchmarks.two_stage --out OUT [--steps N] [--jobs N] [--arms NAME ...]

Two synthetic drives are trained on, a third one is judged, at 192x64. Each arm trains a first
stage, lets ``resample`` drop frames, and trains a second stage from scratch on the rest. All is at
its defaults but the cap of what may be dropped: here a car accompanies the camera in a quarter of
the frames, on KITTI in one of twenty. A control drops as many frames at random instead: what it
gains is owed to a second training and to chance. Where nothing is dropped there is no second
stage, where next to nothing is, no control.

Arms: with the auto-mask (the default of ``train``), which leaves out of the loss what stands still
in the image, cars at the camera's own speed among them; and without it, unguided and guided.

Writes OUT/table.md, OUT/before_after.png, and a run folder per training. What is finished is kept,
and interrupted trainings go on, when the same command is given again.
"""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.hole_truth import holds_hole
from benchmarks.hole_truth import in_hole
from benchmarks.hole_truth import truth_of
from benchmarks.png_figures import new_figure
from benchmarks.png_figures import save_figure
from benchmarks.verbs import ROOT
from benchmarks.verbs import resumed
from benchmarks.verbs import run_verb
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import find_holes
from sg_depth_ros.evaluation.holes import refuse_outliers
from sg_depth_ros.evaluation.holes import score_frame
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.report.pictures import depth_picture
from training.data.drive import write_split
from training.data.synthetic import read_synthetic
from training.evaluation.frames import DatasetFrames
from training.evaluation.predictions import predict_frame
from training.evaluation.predictions import predict_frames
from training.torch_engine import open_model

SECONDS = '20'
TRAINED_SEEDS, JUDGED_SEED = ('0', '2'), '1'
SIZE = ('--width', '192', '--height', '64')
CAP = 0.5
LEAST_CONTROLLED = 0.05  # share of frames dropped: where fewer fall, there is nothing to control
CAR_ID = CLASS_NAMES.index('car')


class Arm(NamedTuple):
    """A way to train both stages."""

    name: str
    guided: bool
    auto_mask: bool

    @property
    def title(self) -> str:
        """What the table calls it."""
        mask = 'with' if self.auto_mask else 'without'
        return f'{"guided" if self.guided else "unguided"}, {mask} auto-mask'


ARMS = (
    Arm('masked', guided=False, auto_mask=True),
    Arm('unmasked', guided=False, auto_mask=False),
    Arm('guided_unmasked', guided=True, auto_mask=False),
)


class Judged(NamedTuple):
    """What a network makes of the cars of the held-out drive."""

    same_speed_px: int
    holes_px: int  # of them, predicted more than twice too far
    same_speed_abs_rel: float
    car_abs_rel: float
    abs_rel: float  # of everything up to 80 m


class Filter(NamedTuple):
    """How well the criterion of ``resample`` finds the frames that really hold holes."""

    frames: int
    with_holes: int  # in truth
    found: int  # above the threshold
    right: int  # found and with holes

    @property
    def precision(self) -> float:
        """Share of the found frames that hold holes."""
        return self.right / max(self.found, 1)

    @property
    def recall(self) -> float:
        """Share of the frames with holes that were found."""
        return self.right / max(self.with_holes, 1)


class Outcome(NamedTuple):
    """An arm with its stages judged."""

    arm: Arm
    trained: Filter  # of the first stage, on the drives that it was trained on
    judged: Filter  # and on the held-out one
    dropped: int
    stages: tuple[tuple[str, Judged], ...]  # one, and two and the control where frames fell


def make_drives(out: Path) -> None:
    """Synthesize and prepare the drives, unless that is done already."""
    for dataset, seeds in (('trained', TRAINED_SEEDS), ('judged', (JUDGED_SEED,))):
        drives = [out / f'drive_{seed}' for seed in seeds]
        for seed, drive in zip(seeds, drives):
            if not drive.exists():
                words = ('--out', drive, '--seconds', SECONDS, '--seed', seed)
                run_verb(out / 'drives.log', 'synthesize', *words)
        if not (out / dataset).exists():
            run_verb(out / 'drives.log', 'prepare', *drives, '--out', out / dataset, *SIZE)


def train_semantic(out: Path) -> Path:
    """Train a semantic network on the drives' labels, unless there is one already."""
    folder = out / 'segment'
    if not (folder / 'segmentation.ckpt').exists():
        settings = ['--config', ROOT / 'config/training/segment_demo.yaml', '--out', folder]
        run_verb(
            out / 'segment.log',
            'segment',
            *settings,
            '--data.root',
            out / 'trained',
            *resumed(folder),
        )
    return folder / 'segmentation.ckpt'


def train_arm(arm: Arm, options: argparse.Namespace) -> None:
    """Train the first stage, resample, and train the second stage and the control."""
    out: Path = options.out / arm.name
    out.mkdir(exist_ok=True)
    guide = ['--model.network.guidance', 'none']
    if arm.guided:
        guide = ['--model.segmentation', str(train_semantic(options.out))]
    settings = ['--config', str(ROOT / 'config/training/demo.yaml'), *guide]
    settings += ['--data.root', str(options.out / 'trained')]
    settings += ['--trainer.max_steps', str(options.steps)]
    settings += ['--model.objective.auto_mask', str(arm.auto_mask).lower()]

    def train(name: str, *more: str) -> None:
        folder = out / name
        if not (folder / 'depth.ckpt').exists():
            words = [*settings, '--out', str(folder), *more, *resumed(folder)]
            run_verb(out / f'{name}.log', 'train', *words)

    train('one')
    split = out / 'split.txt'
    if not split.exists():
        words = ('--checkpoint', out / 'one/depth.ckpt', '--data', options.out / 'trained')
        run_verb(out / 'resample.log', 'resample', *words, '--out', split, '--cap', str(CAP))
    decisions = read_decisions(out)
    dropped = sum(decisions.values())
    if dropped == 0:
        return
    control = out / 'control.txt'
    kept = np.random.default_rng(0).permutation(len(decisions))[dropped:]
    write_split((list(decisions)[i] for i in sorted(kept)), control)
    train('two', '--data.split', str(split), '--model.stage', '2')
    if dropped >= LEAST_CONTROLLED * len(decisions):
        train('control', '--data.split', str(control), '--model.stage', '2')


def read_decisions(out: Path) -> dict[FrameKey, bool]:
    """Return which frames ``resample`` dropped."""
    document = json.loads((out / 'resample.json').read_text())
    return {
        FrameKey(f['drive'], f['frame']): f['decision'] == 'dropped' for f in document['frames']
    }


def judge_arm(arm: Arm, out: Path) -> Outcome:
    """Judge the filter after the first stage, and all stages on the held-out drive."""
    decisions = read_decisions(out / arm.name)
    first = out / arm.name / 'one/depth.ckpt'
    held_out = DatasetFrames(out / 'judged')
    names = [n for n in ('one', 'two', 'control') if (out / arm.name / n / 'depth.ckpt').exists()]
    return Outcome(
        arm,
        judge_filter(first, DatasetFrames(out / 'trained'), tuple(decisions), out),
        judge_filter(first, held_out, moving_frames(held_out), out),
        sum(decisions.values()),
        tuple((n, judge_model(out / arm.name / n / 'depth.ckpt', out)) for n in names),
    )


def judge_filter(
    checkpoint: Path, frames: DatasetFrames, entries: Sequence[FrameKey], out: Path
) -> Filter:
    """Compare what the filter finds with where a network really sees holes."""
    drives = {name: read_synthetic(out / name) for name in frames.drives}
    engine = open_model(checkpoint)
    scores, in_truth = [], []
    for prediction in predict_frames(engine, frames, entries):
        holes = find_holes(prediction, DEFAULT_CRITERION, engine.contract.metric)
        scores.append(score_frame(prediction.entry, holes))
        truth = truth_of(drives[prediction.entry.drive], prediction)
        in_truth.append(holds_hole(prediction.depth_m, truth))
    engine.close()
    threshold_px = DEFAULT_CRITERION.threshold_at(engine.contract.width, engine.contract.height)
    found = [s.hole_pixels > threshold_px for s in refuse_outliers(scores)]
    right = sum(f and t for f, t in zip(found, in_truth))
    return Filter(len(entries), sum(in_truth), sum(found), right)


def judge_model(checkpoint: Path, out: Path) -> Judged:
    """Measure a network on the held-out drive."""
    frames = DatasetFrames(out / 'judged')
    drive = read_synthetic(out / f'drive_{JUDGED_SEED}')
    entries = moving_frames(frames)
    engine = open_model(checkpoint)
    errors: dict[str, list[NDArray[np.float32]]] = {'same speed': [], 'cars': [], 'all': []}
    holes_px = 0
    for prediction in predict_frames(engine, frames, entries):
        truth = truth_of(drive, prediction)
        near = (truth.depth_m > 0) & (truth.depth_m < 80)
        error = np.abs(prediction.depth_m / np.where(near, truth.depth_m, 1) - 1)
        errors['same speed'].append(error[truth.same_speed])
        errors['cars'].append(error[near & (truth.labels == CAR_ID)])
        errors['all'].append(error[near])
        holes_px += int((in_hole(prediction.depth_m, truth) & truth.same_speed).sum())
    engine.close()
    same_speed, cars, everything = (np.concatenate(v) for v in errors.values())
    means = (float(v.mean()) for v in (same_speed, cars, everything))
    return Judged(same_speed.size, holes_px, *means)


def moving_frames(frames: DatasetFrames) -> list[FrameKey]:
    """Return the frames at which the camera moves."""
    (drive,) = frames.drives.values()
    return [FrameKey(drive.name, f.index) for f in drive.frames if f.dropped is None]


def table(outcomes: list[Outcome]) -> str:
    """Return what was measured as markdown."""
    lines = [
        '| training | held out: found, with a hole | precision / recall | trained on: found, with '
        'a hole | precision / recall | dropped | holes on same-speed cars | AbsRel there '
        '| AbsRel on cars | AbsRel |',
        '|---|---|---|---|---|---|---|---|---|---|',
    ]
    titles = {'one': 'stage one', 'two': 'stage two', 'control': 'control: random frames dropped'}
    for outcome in outcomes:
        for name, judged in outcome.stages:
            cells = [f'{outcome.arm.title}: {titles[name]}', *[''] * 5]
            if name == 'one':
                cells[1:] = [*_cells(outcome.judged), *_cells(outcome.trained)]
                cells.append(f'{outcome.dropped} of {outcome.trained.frames}')
            share = judged.holes_px / judged.same_speed_px
            cells += [f'{judged.holes_px} of {judged.same_speed_px} px ({share:.1%})']
            errors = (judged.same_speed_abs_rel, judged.car_abs_rel, judged.abs_rel)
            lines.append(f'| {" | ".join([*cells, *(f"{e:.3f}" for e in errors)])} |')
    return '\n'.join(lines) + '\n'


def _cells(found: Filter) -> tuple[str, str]:
    quality = f'{found.precision:.2f} / {found.recall:.2f}' if found.with_holes else '-'
    return f'{found.found}, {found.with_holes} of {found.frames}', quality


def draw(outcomes: list[Outcome], out: Path, path: Path) -> None:
    """Draw a held-out frame with a car at the camera's speed: image, truth, and each stage."""
    frames = DatasetFrames(out / 'judged')
    drive = read_synthetic(out / f'drive_{JUDGED_SEED}')
    # The middle of the stretch: the network has its opinion of the car by then.
    stretch = [e for e in moving_frames(frames) if drive.frames[e.frame].same_speed_car]
    entry = stretch[len(stretch) // 2]
    figure = new_figure(13.0, 1.4 * len(outcomes) + 0.1)
    grid = figure.add_gridspec(len(outcomes), 4)
    for row, outcome in enumerate(outcomes):
        cells: list[tuple[str, NDArray[np.uint8]]] = []
        for name, _ in outcome.stages:
            engine = open_model(out / outcome.arm.name / name / 'depth.ckpt')
            prediction = predict_frame(engine, frames, entry)
            engine.close()
            if not cells:
                truth_m = truth_of(drive, prediction).depth_m
                cells.append((outcome.arm.title, prediction.image))
                cells.append(('true depth', depth_picture(np.where(truth_m > 0, truth_m, 1e3))))
            if name != 'control':
                cells.append((f'stage {name}', depth_picture(prediction.depth_m)))
        for column, (title, cell) in enumerate(cells):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(cell, interpolation='nearest')
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
    save_figure(figure, path)


def main() -> None:
    """Train what is not trained yet, judge, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--steps', type=int, default=1500, help='of each training')
    parser.add_argument('--jobs', type=int, default=2, help='trainings at the same time')
    parser.add_argument('--arms', nargs='+', choices=[a.name for a in ARMS], help='default: all')
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    arms = [a for a in ARMS if options.arms is None or a.name in options.arms]
    make_drives(options.out)
    os.environ.setdefault('OMP_NUM_THREADS', str(max(1, (os.cpu_count() or 1) // options.jobs)))
    with ThreadPoolExecutor(options.jobs) as pool:
        # The longest first, so that no core waits for the last one.
        list(
            pool.map(lambda arm: train_arm(arm, options), sorted(arms, key=lambda a: not a.guided))
        )
    outcomes = [judge_arm(arm, options.out) for arm in arms]
    draw(outcomes, options.out, options.out / 'before_after.png')
    text = table(outcomes)
    (options.out / 'table.md').write_text(text)
    print(text)


if __name__ == '__main__':
    main()
