"""
``train``: the depth network, self-supervised.

Every option can be given in the YAML file or behind the verb; ``--print_config`` shows them all.
"""

import hashlib
from pathlib import Path

import lightning
from jsonargparse.typing import NonNegativeInt
from lightning.pytorch.cli import LightningArgumentParser

from sg_depth_ros.errors import UserError
from training.command_line import RunCLI
from training.data.datamodule import DepthData
from training.networks.depth import MIN_SIZE_PX
from training.networks.depth import takes_size
from training.objective.depth_module import DepthModule
from training.provenance import git_commit
from training.running.lidar_validation import VALIDATION_FILE
from training.running.lidar_validation import LidarValidation
from training.running.lidar_validation import ValidationConfig
from training.running.lidar_validation import open_validation
from training.running.panels import Panels
from training.running.run_folder import fit
from training.running.run_folder import open_run
from training.running.run_folder import write_result

DESCRIPTION = """
Train the depth network on the drives of a dataset folder, without labels. Writes OUT/depth.ckpt,
OUT/config.yaml, OUT/environment.json, OUT/tensorboard and pictures in OUT/panels; OUT/checkpoints
is for --resume.
"""
RESULT = 'depth.ckpt'


class SeveralProcessesError(Exception):
    """
    A training would run in several processes, where one was expected; nothing was done.

    :param started_from_outside: by torchrun or SLURM, not by Lightning.
    """

    def __init__(self, started_from_outside: bool) -> None:
        super().__init__('several processes')
        self.started_from_outside = started_from_outside


def main(arguments: list[str], several_processes: bool = True) -> int:
    """
    Train as the command line says and print where the checkpoint lies.

    :param arguments: the command line behind ``train``.
    :param several_processes: whether the training may run in others beside this one.
    :raises UserError: for mistakes in the options or the data.
    :raises SeveralProcessesError: where it would, but may not.
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
            # KeyedSampler shares the samples out itself.
            'use_distributed_sampler': False,
        },
    )
    if not several_processes and cli.processes > 1:
        raise SeveralProcessesError(cli.processes_come_from_outside)
    result = train_depth(cli)
    if cli.trainer.is_global_zero:
        print(f'depth network: {result}', flush=True)
    return 0


def train_depth(cli: RunCLI) -> Path:
    """
    Train and write the finished checkpoint.

    :return: its path.
    :raises UserError: where the dataset cannot be used; nothing is written before.
    """
    module, data = cli.model, cli.datamodule
    run = open_run(cli, RESULT)
    check_size(data)
    check_scale(module, data)
    if module.network.segmentation is not None:
        camera = data.intrinsics
        batch_size = min(data.batch_size, len(data.dataset))
        module.network.segmentation.check_size(batch_size, camera.height, camera.width)
    module.describe_origin(data, _sha256_of_config(cli), git_commit())
    if cli.trainer.is_global_zero:
        _print_plan(module, data)
    observers: list[lightning.Callback] = [Panels(run.folder, cli.config['panels'])]
    validation: ValidationConfig = cli.config_init['validation']
    frames = open_validation(validation, data.root)
    if frames is not None:
        path = run.folder / VALIDATION_FILE
        observers.append(LidarValidation(frames, validation.every_steps, path))
    fit(cli, run, f'train depth, stage {module.stage}', observers)
    return write_result(cli.trainer, run)


def check_size(data: DepthData) -> None:
    """
    Refuse images that the network's coarsest maps cannot hold.

    :raises UserError: saying which sizes can be trained on.
    """
    width, height = data.intrinsics.width, data.intrinsics.height
    if not takes_size(width, height):
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


def _options(parser: LightningArgumentParser) -> None:
    parser.add_argument('--validation', type=ValidationConfig, default=ValidationConfig())
    parser.add_argument(
        '--panels',
        type=NonNegativeInt,
        default=500,
        help='Steps between pictures of what is learnt, in OUT/panels and TensorBoard; 0: none.',
    )


def _sha256_of_config(cli: RunCLI) -> str:
    text: str = cli.parser.dump(cli.config)
    return hashlib.sha256(text.encode()).hexdigest()


def _print_plan(module: DepthModule, data: DepthData) -> None:
    camera = data.intrinsics
    scale = data.scale_source if module.objective_config.scale != 'none' else 'nowhere'
    config, semantic = module.network.config, module.network.segmentation
    guidance: str = config.guidance
    if config.is_guided and semantic is not None:
        guidance += f' by {semantic.describe()} at strides {list(config.guided_strides)}'
    print(
        f'depth network: {config.name}, guidance {guidance}; {len(data.dataset)} triplets of '
        f'{len(data.dataset.trained_on)} drives at {camera.width}x{camera.height}, '
        f'field of view {camera.horizontal_fov_deg():.0f} deg, principal point '
        f'({camera.cx:.1f}, {camera.cy:.1f}) px; scale from {scale}',
        flush=True,
    )
    for caution in data.dataset.cautions:
        print(f'caution: {caution}', flush=True)
