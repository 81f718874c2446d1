"""
``two_stage``: train, drop the frames that teach infinite depth, train again.

    python -m training two_stage --config config/training/depth.yaml --data.root DATASET --out RUN

Source: Guizilini et al., ICLR 2020, section 3.4. All options of ``train`` hold for both stages.
The same command again goes on where it was interrupted.
"""

import argparse
from pathlib import Path

import yaml

from sg_depth_ros.errors import UserError
from training import resample
from training import train
from training.command_line import CONFIG_FILE
from training.run_folder import RESUME_FILE

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
        train.main([*train_options, *_folder(first.parent)])
    if split.exists():
        print(f'resampling is finished: {split}')
    else:
        choices = [
            '--checkpoint',
            str(first),
            '--data',
            _dataset(first.parent),
            '--out',
            str(split),
        ]
        resample.main([*choices, *options.resample.split()])
    stage = ['--data.split', str(split), '--model.stage', '2']
    if options.second_start != 'scratch':
        stage += ['--model.initial_weights', str(first)]
        stage += ['--model.initial_parts', options.second_start]
    if options.second_steps is not None:
        stage += ['--trainer.max_steps', str(options.second_steps)]
    return train.main([*train_options, *stage, *_folder(second.parent)])


def _folder(out: Path) -> list[str]:
    """Return the options of a run in this folder, which goes on if it was interrupted."""
    resume = ['--resume', 'true'] if (out / RESUME_FILE).exists() else []
    return ['--out', str(out), *resume]


def _dataset(run: Path) -> str:
    """Return what a run was trained on, wherever it was configured."""
    root: str = yaml.safe_load((run / CONFIG_FILE).read_text())['data']['root']
    return root


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
        '--resample', default='', metavar='OPTIONS', help='options for resample, in quotes'
    )
    return parser
