"""Running the demo's commands one after the other, into a folder of its own."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from rich.console import Console

from sg_depth_ros.errors import UserError
from training.demo_result import Step

ROOT = Path(__file__).resolve().parents[1]
# What says that a folder may be removed.
MARKER = '.made_by_demo'


class StepFailedError(Exception):
    """A command ended with an error, which it has explained itself."""

    def __init__(self, step: str, status: int) -> None:
        super().__init__(f'the demo stops here: {step} ended with exit status {status}')
        self.status = status


@dataclass
class Steps:
    """Runs the commands one after the other, shows them, and keeps their times."""

    console: Console
    done: list[Step] = field(default_factory=list)

    def run(self, name: str, module: str, *arguments: str | Path, accept: int = 0) -> None:
        """
        Run ``python -m MODULE ARGUMENTS`` from the checkout.

        :param accept: an exit status beside 0 that is no reason to stop.
        :raises StepFailedError: for any other.
        """
        words = ['-m', *module.split(), *map(str, arguments)]
        command = shlex.join(['python', *words])
        self.console.rule(f'{len(self.done) + 1}. {name}', align='left')
        print(f'$ {command}', flush=True)
        started_s = time.monotonic()
        paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths)}
        status = subprocess.run([sys.executable, *words], env=environment, check=False).returncode
        self.done.append(Step(name, command, time.monotonic() - started_s))
        if status not in (0, accept):
            raise StepFailedError(name, status)
        self.console.print(f'[dim]{name}: {self.done[-1].seconds:.0f} s[/dim]')


def start_clean(out: Path, drive: Path | None) -> None:
    """
    Make an empty folder for the demo, removing an older demo's.

    :raises UserError: where something else is there, or the drive would be removed.
    """
    if drive is not None:
        inside, around = drive.resolve(), out.resolve()
        if inside.is_relative_to(around) or around.is_relative_to(inside):
            raise UserError(f'{drive}: and the output folder {out} must lie apart; use --out')
    if out.is_dir() and (out / MARKER).exists():
        shutil.rmtree(out)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f'{out}: was not made by the demo and stays; name another with --out')
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
