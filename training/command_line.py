"""What the training verbs share: their LightningCLI and how their errors are reported."""

import logging
import re
import sys
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
from jsonargparse import ArgumentError
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sg_depth_ros.errors import UserError

CONFIG_FILE = 'config.yaml'
# What Lightning says that does not help the user of a verb.
IRRELEVANT_WARNINGS = (
    '.*does not have many workers.*',
    '.*suggested max number of worker.*',  # waiting for data is measured instead
    '.*smaller than the logging interval.*',
    '.*Checkpoint directory .* exists and is not empty.*',
    '.*GPU available but not used.*',
    '.*`pin_memory`.*',
    r'.*module\(s\) in eval mode.*',  # the semantic network, which stays fixed
    '.*your dataloader is not resumable.*',  # training/running/resume.py
    '.*isinstance.treespec, LeafSpec.*',
    '.*Grad strides do not match bucket view strides.*',  # 1x1 kernels, where both are the same
)
# Lightning's names; None is its default, float32.
PRECISIONS = ('None', '32', '32-true', 'bf16', 'bf16-mixed')
# The verbs bring their own logger, checkpoints and progress bar.
OWN_OBSERVERS = {'logger': False, 'enable_checkpointing': False, 'enable_progress_bar': False}
# Lightning's strategies that start processes with a copy of what is in this one.
FORKING_STRATEGIES = ('ddp_spawn', 'ddp_fork', 'ddp_notebook')


class RunCLI(LightningCLI):
    """
    LightningCLI of a verb that trains: its options, its run folder, its errors.

    It parses and builds; the verb runs the trainer.

    :param model_class: the Lightning module.
    :param data_class: the data module.
    :param out: default run folder.
    :param arguments: the command line behind the verb.
    :param program: what the usage line says.
    :param description: what ``--help`` says first.
    :param link: adds links between arguments to the parser.
    :param trainer_defaults: of the Trainer's arguments.
    :raises UserError: for arguments or a configuration that do not fit.
    """

    def __init__(
        self,
        model_class: type[lightning.LightningModule],
        data_class: type[lightning.LightningDataModule],
        out: Path,
        arguments: list[str],
        program: str,
        description: str,
        link: Callable[[LightningArgumentParser], None] = lambda parser: None,
        trainer_defaults: dict[str, Any] | None = None,
    ) -> None:
        self._out_default = out
        self._link = link
        self.command = (*program.split(), *arguments)
        quiet_libraries()
        parser_kwargs = {
            'prog': program,
            # The generated one names every option of Lightning's Trainer.
            'usage': f'{program} --config FILE [--out FOLDER] [--GROUP.OPTION VALUE ...]',
            'description': description,
            'exit_on_error': False,
        }
        try:
            with _arguments_are(arguments):
                super().__init__(
                    model_class,
                    data_class,
                    save_config_callback=None,
                    trainer_defaults={**OWN_OBSERVERS, **(trainer_defaults or {})},
                    seed_everything_default=0,
                    parser_kwargs=parser_kwargs,
                    args=None,
                    run=False,
                    auto_configure_optimizers=False,
                    load_from_checkpoint_support=False,
                )
        except ArgumentError as error:
            raise UserError(f'{one_line(error)}; see "{program} --help"') from error
        if self.out.exists() and not self.out.is_dir():
            raise UserError(f'{self.out}: is no folder; give another --out')

    def instantiate_trainer(self, **options: Any) -> lightning.Trainer:
        """
        Build the trainer.

        :raises UserError: for a combination of options or a device that there is not.
        """
        _require_precision(self.config['trainer']['precision'])
        strategy = self._get(self.config_init, 'trainer.strategy')
        if isinstance(strategy, str) and strategy.startswith(FORKING_STRATEGIES):
            raise UserError(
                f'trainer.strategy {strategy}: copies a model into its processes, which this one '
                'cannot be; take ddp, which starts them by the command'
            )
        try:
            trainer: lightning.Trainer = super().instantiate_trainer(**options)
        except (MisconfigurationException, ValueError) as error:
            raise UserError(f'trainer: {one_line(error)}') from error
        on_cpu = isinstance(trainer.accelerator, CPUAccelerator)
        if self.config['trainer']['sync_batchnorm'] and on_cpu:
            raise UserError('--trainer.sync_batchnorm: torch joins batch norm on GPUs only')
        return trainer

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run folder and the verb's links."""
        parser.add_argument(
            '--out',
            type=Path,
            default=self._out_default,
            help='Run folder: checkpoints, config.yaml and TensorBoard logs; made if missing.',
        )
        parser.add_argument(
            '--resume',
            type=bool,
            default=False,
            help="Go on from the run folder's last checkpoint.",
        )
        parser.link_arguments('out', 'trainer.default_root_dir', compute_fn=str)
        self._link(parser)

    @property
    def processes(self) -> int:
        """In how many processes the training will run."""
        trainer: lightning.Trainer = self.trainer
        return trainer.num_devices * trainer.num_nodes

    @property
    def processes_come_from_outside(self) -> bool:
        """Whether torchrun or SLURM starts them, else Lightning does."""
        environment = getattr(self.trainer.strategy, 'cluster_environment', None)
        return environment is not None and environment.creates_processes_externally

    @property
    def out(self) -> Path:
        """The run folder."""
        return Path(self.config['out'])

    def save_config(self) -> None:
        """Write the complete configuration of this run into its folder."""
        self.parser.save(self.config, str(self.out / CONFIG_FILE), overwrite=True)


def _require_precision(precision: str | int | None) -> None:
    """Refuse precisions in which losses overflow or weights are rounded."""
    if str(precision) not in PRECISIONS:
        raise UserError(
            f'--trainer.precision {precision}: train with 32-true, or with bf16-mixed on GPUs '
            'that know bfloat16; geometry and losses are float32 in both'
        )


def quiet_libraries() -> None:
    """Silence what Lightning says that does not help the user of a verb."""
    for name in ('lightning', 'lightning.pytorch', 'lightning.fabric'):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in IRRELEVANT_WARNINGS:
        warnings.filterwarnings('ignore', message)


@contextmanager
def user_errors_from_workers() -> Iterator[None]:
    """Give a UserError raised in a loader process its one line back; torch adds a traceback."""
    try:
        yield
    except UserError as error:
        found = re.search(r'UserError: ([^\n]*)\s*\Z', str(error))
        if found is None:
            raise
        raise UserError(found.group(1)) from None


@contextmanager
def interruption_is_told() -> Iterator[None]:
    """Pass Ctrl-C and SIGTERM on: Lightning tidies up and then ends the process in silence."""
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error


def one_line(error: BaseException) -> str:
    """Return an error's text without line breaks."""
    return ' '.join(str(error).split())


@contextmanager
def _arguments_are(arguments: list[str]) -> Iterator[None]:
    """Let LightningCLI see a command line; it warns where it is given one beside sys.argv."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before
