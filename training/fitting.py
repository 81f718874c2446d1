"""What ``segment`` and ``train`` share: the command line, the run folder, fitting, the result."""

import hashlib
import logging
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import TypeVar

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from sg_depth_ros.errors import UserError
from training.progress import TrainingProgress

Module = TypeVar('Module', bound=lightning.LightningModule)
Data = TypeVar('Data', bound=lightning.LightningDataModule)

CONFIG_FILE = 'config.yaml'
CHECKPOINT_FOLDER = 'checkpoints'
# Lightning's advice that does not help someone who trains from our configurations.
IRRELEVANT_WARNINGS = (
    '.*does not have many workers.*',
    '.*is smaller than the logging interval.*',
    '.*`pin_memory`.*',
    '.*Checkpoint directory .* exists and is not empty.*',
    '.*Starting from v1.9.0.*',
    '.*isinstance.treespec, LeafSpec.*',
)


@dataclass(frozen=True)
class Verb:
    """
    How a training verb presents itself.

    :param title: shown in the progress bar and in ``--help``.
    :param default_out: run folder where none is given.
    :param result: name of the finished checkpoint in the run folder.
    """

    title: str
    default_out: str
    result: str


class FitCLI(LightningCLI):
    """Lightning's command line with a run folder."""

    def __init__(self, verb: Verb, **options: Any) -> None:
        self.verb = verb
        super().__init__(
            run=False,
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={'description': verb.title},
            load_from_checkpoint_support=False,
            auto_configure_optimizers=False,
            trainer_defaults={
                'accelerator': 'auto',
                'log_every_n_steps': 10,
                'enable_model_summary': False,
            },
            **options,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what is ours."""
        parser.add_argument(
            '--out', type=str, default=self.verb.default_out, help='run folder to write into'
        )
        parser.add_argument(
            '--resume', type=bool, default=False, help="continue from the run folder's checkpoint"
        )

    def instantiate_trainer(self, **options: Any) -> lightning.Trainer:
        """Give the trainer its run folder, logger, checkpoints and progress bar."""
        config = self.config['trainer']
        out = self.config['out']
        callbacks = list(config.get('callbacks') or [])
        callbacks.append(TrainingProgress(self.verb.title))
        callbacks.append(
            ModelCheckpoint(
                dirpath=str(Path(out) / CHECKPOINT_FOLDER),
                save_last=True,
                save_top_k=0,
                every_n_epochs=1,
            )
        )
        logger = config.get('logger')
        if logger in (None, True):
            logger = TensorBoardLogger(save_dir=out, name='', version='tensorboard')
        options.update(default_root_dir=out, callbacks=callbacks, logger=logger)
        return super().instantiate_trainer(**options)


def config_text(cli: LightningCLI) -> str:
    """Return the complete configuration of a run as YAML."""
    text: str = cli.parser.dump(cli.config, skip_none=False)
    return text


def config_sha256(cli: LightningCLI) -> str:
    """Return a digest of the complete configuration of a run."""
    return hashlib.sha256(config_text(cli).encode()).hexdigest()


def git_commit() -> str:
    """Return the commit of this checkout, ``-dirty`` where files differ, else ``unknown``."""
    command = ['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    folder = Path(__file__).parent
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return run.stdout.strip() or 'unknown'


def silence_irrelevant_advice() -> None:
    """Keep Lightning's messages to those that help."""
    for name in ('lightning.pytorch', 'lightning.fabric'):
        logging.getLogger(name).setLevel(logging.WARNING)
    for pattern in IRRELEVANT_WARNINGS:
        warnings.filterwarnings('ignore', pattern)


def fit(
    verb: Verb,
    module_class: type[Module],
    data_class: type[Data],
    arguments: list[str],
    before: Callable[[FitCLI, Module, Data], None] | None = None,
) -> Path:
    """
    Parse a command line, train, and write the finished checkpoint.

    :param verb: how the command presents itself.
    :param module_class: what is trained; its constructor's arguments are options ``--model.*``.
    :param data_class: what it is trained on; likewise ``--data.*``.
    :param arguments: the command line behind the verb.
    :param before: called with module and data before training.
    :return: path of the finished checkpoint.
    :raises UserError: for mistakes in the options or the data.
    """
    silence_irrelevant_advice()
    cli = FitCLI(verb, model_class=module_class, datamodule_class=data_class, args=arguments)
    out = Path(cli.config['out'])
    result = out / verb.result
    last = out / CHECKPOINT_FOLDER / 'last.ckpt'
    if cli.config['resume'] and not last.exists():
        raise UserError(f'{last}: nothing to resume; leave --resume out')
    if not cli.config['resume'] and (result.exists() or last.exists()):
        raise UserError(
            f'{out}: holds a run already; give another --out, or --resume true to continue it'
        )
    if before is not None:
        before(cli, cli.model, cli.datamodule)
    out.mkdir(parents=True, exist_ok=True)
    (out / CONFIG_FILE).write_text(config_text(cli))
    resume_from = str(last) if cli.config['resume'] else None
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=resume_from)
    if cli.trainer.interrupted:
        raise KeyboardInterrupt
    temporary = result.with_suffix('.tmp')
    cli.trainer.save_checkpoint(temporary, weights_only=True)
    if cli.trainer.is_global_zero:
        temporary.replace(result)
    return result
