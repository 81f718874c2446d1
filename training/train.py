"""
``train``: the depth network, self-supervised.

Every option can be given in the YAML file or behind the verb; ``--print_config`` shows them all.
"""

import hashlib
import subprocess
from pathlib import Path

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import TensorBoardLogger

from sg_depth_ros.errors import UserError
from training.command_line import RunCLI
from training.command_line import user_errors_from_workers
from training.data.datamodule import DepthData
from training.objective.depth_module import DepthModule
from training.progress import TrainingProgress

DESCRIPTION = """
Train the depth network on the drives of a dataset folder, without labels. Writes OUT/depth.ckpt,
OUT/config.yaml and OUT/tensorboard; OUT/checkpoints is for --resume.
"""
RESULT = 'depth.ckpt'
RESUME_FOLDER = 'checkpoints'
MIN_SIZE_PX = 64  # the decoder reflects a border pixel at stride 32


def main(arguments: list[str]) -> int:
    """
    Train as the command line says and print where the checkpoint lies.

    :param arguments: the command line behind ``train``.
    :raises UserError: for mistakes in the options or the data.
    """
    cli = RunCLI(
        DepthModule,
        DepthData,
        out=Path('runs/depth'),
        arguments=arguments,
        program='python -m training train',
        description=DESCRIPTION,
        link=_options,
        trainer_defaults={
            'log_every_n_steps': 10,
            'enable_model_summary': False,
            'enable_progress_bar': False,
        },
    )
    print(f'depth network: {train_depth(cli)}', flush=True)
    return 0


def train_depth(cli: RunCLI) -> Path:
    """
    Train and write the finished checkpoint.

    :return: its path.
    :raises UserError: where the dataset cannot be used; nothing is written before.
    """
    module, data, trainer = cli.model, cli.datamodule, cli.trainer
    result = cli.out / RESULT
    last = cli.out / RESUME_FOLDER / 'last.ckpt'
    resume: bool = cli.config['resume']
    if resume and not last.exists():
        raise UserError(f'{last}: nothing to resume; leave --resume out')
    if not resume and (result.exists() or last.exists()):
        raise UserError(f'{cli.out}: holds a run; give another --out, or go on with --resume true')
    check_size(data)
    check_scale(module, data)
    module.describe_origin(data, _sha256_of_config(cli), git_commit())

    cli.out.mkdir(parents=True, exist_ok=True)
    trainer.callbacks += [  # type: ignore[attr-defined]
        TrainingProgress(f'train depth, stage {module.stage}'),
        ModelCheckpoint(last.parent, save_last=True, save_top_k=0),
    ]
    trainer.loggers = [TensorBoardLogger(cli.out, name='tensorboard', version='')]
    if trainer.is_global_zero:
        cli.save_config()
        _print_plan(module, data)
    with user_errors_from_workers():
        trainer.fit(module, datamodule=data, ckpt_path=last if resume else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    temporary = result.with_suffix('.tmp')
    trainer.save_checkpoint(temporary, weights_only=True)
    if trainer.is_global_zero:
        temporary.replace(result)
    return result


def check_size(data: DepthData) -> None:
    """
    Refuse images that the network's coarsest maps cannot hold.

    :raises UserError: saying which sizes can be trained on.
    """
    width, height = data.intrinsics.width, data.intrinsics.height
    if width % 32 or height % 32 or min(width, height) < MIN_SIZE_PX:
        raise UserError(
            f'{data.root}: images of {width}x{height}; prepare them with sides that are multiples '
            f'of 32 and at least {MIN_SIZE_PX}'
        )


def check_scale(module: DepthModule, data: DepthData) -> None:
    """
    Refuse to train for metres where none were measured.

    :raises UserError: saying how to train up to scale.
    """
    if module.objective_config.scale != 'none' and data.scale_source == 'none':
        raise UserError(
            f'{data.root}: no speed or pose was recorded, so depth cannot be metric; '
            'train up to scale with --model.objective.scale none'
        )


def git_commit() -> str:
    """Return the commit of this checkout, ``-dirty`` where files differ, else ``unknown``."""
    command = ['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    folder = Path(__file__).parent
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return run.stdout.strip() or 'unknown'


def _options(parser: LightningArgumentParser) -> None:
    parser.add_argument(
        '--resume', type=bool, default=False, help="Go on from the run folder's last checkpoint."
    )
    parser.link_arguments('out', 'trainer.default_root_dir', compute_fn=str)


def _sha256_of_config(cli: RunCLI) -> str:
    text: str = cli.parser.dump(cli.config, skip_none=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _print_plan(module: DepthModule, data: DepthData) -> None:
    camera = data.intrinsics
    scale = data.scale_source if module.objective_config.scale != 'none' else 'nowhere'
    network = module.network.config
    print(
        f'depth network: ResNet-{network.encoder_depth} of width {network.encoder_width}, '
        f'guidance {network.guidance}; {len(data.dataset)} triplets of '
        f'{len(data.dataset.drives)} drives at {camera.width}x{camera.height}, '
        f'field of view {camera.horizontal_fov_deg():.0f} deg; scale from {scale}',
        flush=True,
    )
