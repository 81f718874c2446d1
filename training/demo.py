"""
``make demo``: a drive through everything, by the commands that a user would type.

    python -m training.demo                   a synthetic drive
    python -m training.demo --drive PATH      a KITTI raw drive, an odometry sequence or a rosbag2
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from sg_depth_ros.errors import exit_on_user_error
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.data.eigen import find_test_drives
from training.data.sources import SOURCE_KINDS
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.demo_result import DemoResult
from training.demo_result import print_result
from training.demo_result import read_judged
from training.demo_result import read_replayed
from training.demo_result import write_demo_report
from training.demo_steps import StepFailedError
from training.demo_steps import Steps
from training.demo_steps import start_clean

CONFIG = Path('config')

TRAINING_SECONDS = '20'
HELD_OUT_SECONDS = '5'
FIRST_STEPS = '300'  # of a recording; demo.yaml knows those of the synthetic drive
SECOND_STEPS = '150'
SYNTHETIC_SIZE = ('--width', '192', '--height', '64')
REAL_SIZE = ('--width', '320')  # the height follows the camera's aspect

SAME_DRIVE = 'Trained and evaluated on the same drive, without labels of its depth.'
HELD_OUT = 'Judged on a synthetic drive that was not trained on.'
NO_LABELS = (
    'The drive has no semantic labels, so the semantic network was trained on a synthetic drive '
    'and sees real streets for the first time: it guides less well than one of real labels.'
)
NO_SCALE = 'The drive has neither speed nor poses, so depth is up to an unknown scale.'

FAILED_CHECK_STATUS = 1  # of replay_bag: outputs are missing, but it ran and wrote its report


class Prepared(NamedTuple):
    """The drive, ready for training and for the node."""

    dataset: Path
    judged: Path  # the dataset to judge on
    bag: Path
    name: str  # for people
    cautions: tuple[str, ...]


def main(arguments: list[str]) -> int:
    """Run the demo; the exit status is that of the step that failed, else 0."""
    options = _parser().parse_args(arguments)
    try:
        return demo(options.drive, options.out, tuple(options.topics))
    except StepFailedError as error:
        print(f'error: {error}', file=sys.stderr)
        return error.status


def demo(drive: Path | None, out: Path, topics: tuple[str, ...] = ()) -> int:
    """
    Take a drive through everything.

    :param drive: a recording; None makes a synthetic one.
    :param out: the folder to write into; an older demo's is replaced.
    :param topics: options of ``prepare`` that name topics of a bag.
    :return: the exit status.
    :raises UserError: where drive or folder cannot be used; nothing is removed or written then.
    :raises StepFailedError: where a command failed.
    """
    console = Console()
    kind = None if drive is None else _kind_of(drive)
    start_clean(out, drive)
    steps = Steps(console)
    if drive is None:
        prepared = _prepare_synthetic(steps, out)
    else:
        assert kind is not None
        prepared = _prepare_recorded(steps, out, drive, kind, topics)
    for caution in prepared.cautions:
        console.print(caution, style='yellow', highlight=False)
    segmentation = _train_segmentation(steps, out, prepared, real=drive is not None)
    _train_depth(steps, out, prepared, segmentation, real=drive is not None)
    _judge(steps, out, prepared, topics)

    shutil.copy(out / 'replay' / 'strip.png', out / 'strip.png')
    result = DemoResult(
        name=prepared.name,
        cautions=prepared.cautions,
        trained=read_judged(out / 'evaluation' / 'metrics.json'),
        exported=read_judged(out / 'evaluate_bag' / 'metrics.json'),
        published=read_judged(out / 'replay' / 'metrics.json'),
        replayed=read_replayed(out / 'replay' / 'metrics.json'),
        steps=tuple(steps.done),
    )
    write_demo_report(result, out)
    print_result(result, out, console)
    return 0 if result.replayed.passed else FAILED_CHECK_STATUS


def _kind_of(drive: Path) -> str:
    for kind in SOURCE_KINDS:
        if kind.recognises(drive):
            return kind.name
    # It says what it looked for.
    open_source(drive, SourceOptions())
    raise AssertionError('open_source takes what no kind recognises')


def _prepare_synthetic(steps: Steps, out: Path) -> Prepared:
    """Make one drive to train on and another to judge on."""
    for name, seconds, seed in (
        ('drive', TRAINING_SECONDS, '0'),
        ('held_out_drive', HELD_OUT_SECONDS, '1'),
    ):
        steps.run(
            f'synthesize {name}',
            'training synthesize',
            *('--out', out / name, '--seconds', seconds, '--seed', seed),
        )
    dataset, held_out = out / 'dataset', out / 'held_out_dataset'
    steps.run('prepare', 'training prepare', out / 'drive', '--out', dataset, *SYNTHETIC_SIZE)
    steps.run(
        'prepare the held-out drive',
        'training prepare',
        *(out / 'held_out_drive', '--out', held_out, *SYNTHETIC_SIZE),
    )
    bag = out / 'held_out_drive' / 'bag'
    return Prepared(dataset, held_out, bag, 'a held-out synthetic drive', (HELD_OUT,))


def _prepare_recorded(
    steps: Steps, out: Path, drive: Path, kind: str, topics: tuple[str, ...]
) -> Prepared:
    """Make the dataset of a recording, and the bag that the node is fed with."""
    dataset = out / 'dataset'
    steps.run('prepare', 'training prepare', drive, '--out', dataset, *REAL_SIZE, *topics)
    if kind == 'rosbag2':
        bag = drive
    elif kind == 'synthetic drive':
        bag = drive / 'bag'
    else:
        bag = out / 'recording'
        steps.run('record as a bag', 'training to_bag', drive, '--out', bag)
    cautions = [SAME_DRIVE]
    if not _has_labels(dataset):
        cautions.append(NO_LABELS)
    if _is_without_scale(dataset):
        cautions.append(NO_SCALE)
    return Prepared(dataset, dataset, bag, f'{drive.resolve().name} ({kind})', tuple(cautions))


def _train_segmentation(steps: Steps, out: Path, prepared: Prepared, real: bool) -> Path:
    dataset, config = prepared.dataset, 'segment_demo_real.yaml' if real else 'segment_demo.yaml'
    if not _has_labels(dataset):
        dataset, config = out / 'synthetic_dataset', 'segment_demo.yaml'
        synthetic = out / 'synthetic_drive'
        steps.run(
            'synthesize a labelled drive',
            'training synthesize',
            *('--out', synthetic, '--seconds', TRAINING_SECONDS),
        )
        steps.run(
            'prepare the labelled drive',
            'training prepare',
            *(synthetic, '--out', dataset, *SYNTHETIC_SIZE),
        )
    steps.run(
        'segment',
        'training segment',
        *('--config', CONFIG / 'training' / config),
        *('--data.root', dataset, '--out', out / 'segment'),
        *_allowance(dataset),
    )
    return out / 'segment' / 'segmentation.ckpt'


def _train_depth(
    steps: Steps, out: Path, prepared: Prepared, segmentation: Path, real: bool
) -> None:
    """Train, resample, train again, and export."""
    config = CONFIG / 'training' / ('small.yaml' if real else 'demo.yaml')
    more: list[str] = []
    if _is_without_scale(prepared.dataset):
        more += ['--model.objective.scale', 'none']
    if real:
        more += ['--trainer.max_steps', FIRST_STEPS]
    more += _allowance(prepared.dataset)
    steps.run(
        'train, resample, train',
        'training two_stage',
        *('--config', config, '--data.root', prepared.dataset),
        *('--model.segmentation', segmentation, '--out', out / 'depth'),
        *more,
        # From stage one and short: the demo's time goes to the first stage.
        *('--second-start', 'all', '--second-steps', SECOND_STEPS),
    )
    checkpoint = out / 'depth' / 'stage_two' / 'depth.ckpt'
    steps.run(
        'evaluate',
        'training evaluate',
        *('--model', checkpoint, '--data', prepared.judged, '--out', out / 'evaluation'),
    )
    steps.run(
        'export',
        'training export',
        *(checkpoint, '--out', out / 'model.onnx', '--data', prepared.judged),
        *('--metrics', out / 'evaluation' / 'metrics.json'),
    )


def _allowance(dataset: Path) -> list[str]:
    """Allow KITTI's test drives: the report says that training and evaluation share a drive."""
    tested = find_test_drives(map(read_drive, list_drives(dataset)))
    return ['--data.allow_test_drives', 'true'] if tested else []


def _judge(steps: Steps, out: Path, prepared: Prepared, topics: tuple[str, ...]) -> None:
    """Judge the exported file offline, then run the node."""
    words = list(topics)
    if '--odometry-topic' in words:  # the node needs no speed
        at = words.index('--odometry-topic')
        del words[at : at + 2]
    given = [str(prepared.bag), '--model', str(out / 'model.onnx'), *words]
    steps.run(
        'evaluate_bag', 'sg_depth_ros.replay.evaluate_bag', *given, '--out', out / 'evaluate_bag'
    )
    steps.run(
        'replay_bag',
        'sg_depth_ros.replay.replay_bag',
        *(*given, '--out', str(out / 'replay')),
        *('--dds-profile', str(CONFIG / 'fastdds_large_images.xml')),
        accept=FAILED_CHECK_STATUS,
    )


def _has_labels(dataset: Path) -> bool:
    return any(dataset.glob('*/labels/*.png'))


def _is_without_scale(dataset: Path) -> bool:
    return all(read_drive(folder).scale_source == 'none' for folder in list_drives(dataset))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training.demo',
        description='Take a drive through everything: prepare, segment, train, resample, train, '
        'evaluate, export, the real node fed from a bag, report.',
    )
    parser.add_argument(
        '--drive',
        type=Path,
        metavar='PATH',
        help='KITTI raw drive, KITTI odometry sequence or rosbag2 (default: a synthetic drive)',
    )
    parser.add_argument(
        '--out', type=Path, default=Path('demo'), help='folder to write (default: %(default)s)'
    )
    for topic in ('image', 'camera-info', 'odometry', 'lidar'):
        parser.add_argument(
            f'--{topic}-topic',
            action=_KeepOption,
            dest='topics',
            default=[],
            help='of a bag with several (default: found by type)',
        )
    return parser


class _KeepOption(argparse.Action):
    """Keep an option as it was typed, to hand it on."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), option_string, values])


if __name__ == '__main__':
    sys.exit(exit_on_user_error(lambda: main(sys.argv[1:])))
