"""
What a run was started with: OUT/environment.json, one record per start.

A resumed run adds a record; none is ever replaced. Changes that are not committed lie beside it.
"""

import json
import platform
import subprocess
from dataclasses import asdict
from dataclasses import dataclass
from datetime import datetime
from datetime import timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import lightning
import torch

from sg_depth_ros.engines.cores import usable_cores
from training.provenance import git_commit

ENVIRONMENT_FILE = 'environment.json'
PACKAGES = ('torch', 'lightning', 'numpy', 'jsonargparse', 'tensorboard', 'onnx', 'rosbags')
CHECKOUT = Path(__file__).resolve().parents[1]
PATCH_BYTES = 2_000_000  # a patch larger than this is no edit of the sources


@dataclass(frozen=True)
class Environment:
    """One start of a run."""

    started_utc: str
    command: tuple[str, ...]
    seed: int | bool | None
    first_step: int  # above 0 for a resumed run
    git_commit: str
    uncommitted: str | None  # file with the changes
    python: str
    system: str
    packages: dict[str, str]
    cuda: str | None  # that torch was built for
    cudnn: int | None
    accelerator: str
    devices: tuple[str, ...]  # of this machine, those that train
    processes: int  # of all machines
    machines: int
    precision: str
    cpu: str
    cores: int  # that this process may use
    threads: int  # of torch, within an operation


class EnvironmentRecord(lightning.Callback):
    """
    Adds a record to the run folder when training starts.

    :param folder: of the run.
    :param command: what was typed.
    :param seed: of the networks' first weights.
    """

    def __init__(self, folder: Path, command: tuple[str, ...], seed: int | bool | None) -> None:
        self.folder = folder
        self.command = command
        self.seed = seed

    def on_train_start(  # noqa: D102
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if trainer.is_global_zero:
            record_environment(self.folder, trainer, self.command, self.seed)


def record_environment(
    folder: Path,
    trainer: lightning.Trainer,
    command: tuple[str, ...],
    seed: int | bool | None,
) -> Path:
    """
    Add a record of this start to a run folder.

    :param command: what was typed.
    :param seed: of the networks' first weights.
    :return: the file.
    """
    path = folder / ENVIRONMENT_FILE
    earlier: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    patch = write_patch(folder, start=len(earlier) + 1)
    record = describe_environment(trainer, command, seed, patch)
    temporary = path.with_suffix('.tmp')
    temporary.write_text(json.dumps([*earlier, asdict(record)], indent=2) + '\n')
    temporary.replace(path)
    return path


def describe_environment(
    trainer: lightning.Trainer,
    command: tuple[str, ...],
    seed: int | bool | None,
    uncommitted: Path | None = None,
) -> Environment:
    """Return what this process runs on."""
    on_cuda = trainer.strategy.root_device.type == 'cuda'
    return Environment(
        started_utc=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        command=command,
        seed=seed,
        first_step=trainer.global_step,
        git_commit=git_commit(),
        uncommitted=None if uncommitted is None else uncommitted.name,
        python=platform.python_version(),
        system=f'{platform.system()} {platform.release()} {platform.machine()}',
        # As they name themselves: an installation leaves out for which CUDA they were built.
        packages={**_versions(), 'torch': str(torch.__version__), 'opencv': cv2.__version__},
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version() if on_cuda else None,  # type: ignore[no-untyped-call]
        accelerator=trainer.strategy.root_device.type,
        devices=tuple(torch.cuda.get_device_name(i) for i in trainer.device_ids)
        if on_cuda
        else ('cpu',) * trainer.num_devices,
        processes=trainer.world_size,
        machines=trainer.num_nodes,
        precision=trainer.precision,
        cpu=_cpu_name(),
        cores=usable_cores(),
        threads=torch.get_num_threads(),
    )


def write_patch(folder: Path, start: int, checkout: Path = CHECKOUT) -> Path | None:
    """
    Write how a checkout differs from its commit, in files that git knows.

    :param folder: of the run.
    :param start: number of the run's start, so that a resumed run keeps the earlier patch.
    :return: the file; None where nothing differs or nobody can tell.
    """
    command = ['git', 'diff', 'HEAD', '--no-color', '--no-ext-diff']
    try:
        run = subprocess.run(command, cwd=checkout, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    if not run.stdout:
        return None
    path = folder / ('uncommitted.patch' if start == 1 else f'uncommitted_{start}.patch')
    cut = b'\n[cut: the patch is longer]\n' if len(run.stdout) > PATCH_BYTES else b''
    path.write_bytes(run.stdout[:PATCH_BYTES] + cut)
    return path


def _versions() -> dict[str, str]:
    installed = {d.metadata['Name']: d.version for d in metadata.distributions()}
    return {package: installed[package] for package in PACKAGES if package in installed}


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()
