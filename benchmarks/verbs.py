"""Running the verbs of training as their user does, for benchmarks that train."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from training.running.run_folder import RESUME_FILE

ROOT = Path(__file__).resolve().parents[1]


def run_verb(log: Path, *words: str | Path) -> None:
    """
    Run ``python -m training WORDS`` from the checkout.

    :param log: what it prints is appended to this file.
    :raises RuntimeError: where it fails.
    """
    command = [sys.executable, '-m', 'training', *map(str, words)]
    paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths)}
    with log.open('a') as file:
        file.write(f'$ {shlex.join(command)}\n')
        file.flush()
        status = subprocess.run(
            command, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    if status:
        raise RuntimeError(f'{words[0]} ended with exit status {status}: see {log}')


def resumed(out: Path) -> list[str]:
    """Return the option that makes an interrupted run go on."""
    return ['--resume', 'true'] if (out / RESUME_FILE).exists() else []
