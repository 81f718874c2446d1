"""
``two_stage``: train, drop the frames that teach infinite depth, train again.

    python -m training two_stage --config config/training/own_recording.yaml --data.root DATASET \
        --model.segmentation S.ckpt --out RUN

Source: Guizilini et al., ICLR 2020, section 3.4. All options of ``train`` hold for both stages.
The same command again goes on where it was interrupted.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from sg_depth_ros.errors import UserError
from training import resample
from training import train
from training.command_line import CONFIG_FILE
from training.running.run_folder import RESUME_FILE

STAGE_ONE = 'stage_one'
STAGE_TWO = 'stage_two'
SPLIT_FILE = 'split_two.txt'


def main(arguments: list[str]) -> int:
    """
    Run both stages; what is finished already is kept, so that an interrupted run goes on.

    :raises UserError: for mistakes in the options or the data.
    """
    options, train_options = _parser().parse_known_args(arguments)
    out = Path(options.out)
    first, second = out / STAGE_ONE / train.RESULT, out / STAGE_TWO / train.RESULT
    split = out / SPLIT_FILE
    if second.exists():
        raise UserError(f'{second}: both stages are finished; give another --out')
    if first.exists():
        print(f'stage one is finished: {first}')
    else:
        _train([*train_options, *_folder(first.parent)])
    if split.exists():
        print(f'resampling is finished: {split}')
    else:
        trained_on = yaml.safe_load((first.parent / CONFIG_FILE).read_text())['data']
        choices = ['--checkpoint', str(first), '--data', trained_on['root'], '--out', str(split)]
        if trained_on.get('split') is not None:
            choices += ['--split', trained_on['split']]
        resample.main([*choices, *shlex.split(options.resample)])
    stage = ['--data.split', str(split), '--model.stage', '2']
    if options.second_start != 'scratch':
        stage += ['--model.initial_weights', str(first)]
        stage += ['--model.initial_parts', options.second_start]
    if options.second_steps is not None:
        stage += ['--trainer.max_steps', str(options.second_steps)]
    stage += shlex.split(options.second_options)
    return _train([*train_options, *stage, *_folder(second.parent)])


def _train(arguments: list[str]) -> int:
    """Train in this process; on several devices in others, which Lightning starts in its turn."""
    try:
        return train.main(arguments, several_processes=False)
    except train.SeveralProcessesError as error:
        if error.started_from_outside:
            raise UserError(
                'two_stage starts the processes of its stages itself; under torchrun or SLURM '
                'give train, resample and train one by one, as docs/training.md shows'
            ) from error
    # Each process of a training runs the command that it was started with.
    status = subprocess.run(
        [sys.executable, '-m', 'training', 'train', *arguments], check=False
    ).returncode
    if status:
        raise UserError(f'train ended with exit status {status}; see above')
    return 0


def _folder(out: Path) -> list[str]:
    """Return the options of a run in this folder, which goes on if it was interrupted."""
    resume = ['--resume', 'true'] if (out / RESUME_FILE).exists() else []
    return ['--out', str(out), *resume]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training two_stage',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog='Further options are those of train, such as --config, --data.root and '
        '--model.segmentation: see "python -m training train --help".',
    )
    parser.add_argument('--out', default='runs/two_stage', help='run folder to write into')
    parser.add_argument(
        '--second-start',
        choices=('scratch', 'encoder', 'all'),
        default='scratch',
        help='what stage two takes from stage one; a network that has learnt a hole may keep it, '
        'so the default is nothing',
    )
    parser.add_argument(
        '--second-steps',
        type=int,
        default=None,
        help='steps of stage two, if not those of stage one',
    )
    parser.add_argument(
        '--second-options',
        default='',
        metavar='OPTIONS',
        help='options of train for stage two only, in quotes, such as "--trainer.max_epochs 30"',
    )
    parser.add_argument(
        '--resample', default='', metavar='OPTIONS', help='options for resample, in quotes'
    )
    return parser
