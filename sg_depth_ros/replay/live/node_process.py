"""The real node in a process of its own: started, watched, and ended whatever happens."""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sg_depth_ros.errors import USER_ERROR_EXIT_STATUS
from sg_depth_ros.errors import UserError

NODE_NAME = 'depth_node'
STOP_TIMEOUT_S = 15.0
# ROS's levels, Python's exceptions, our own and the loader's errors; not "worst relative error".
_TELLS_WHY = re.compile(r'\[(ERROR|FATAL)\]|Error\b|^error:|[Ff]atal|error while loading')
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


class NodeDiedError(RuntimeError):
    """The node ended by itself; the text says why and where its log is."""


@dataclass(frozen=True)
class NodeSettings:
    """How the node is started."""

    model: Path
    image_topic: str  # without image_transport's suffix
    camera_info_topic: str
    compressed: bool
    every: bool
    engine: str = 'auto'
    allow_unscaled_depth: bool = False
    parameters: tuple[str, ...] = ()  # further NAME:=VALUE

    def command(self) -> list[str]:
        """Return the command line."""
        parameters = (
            f'model:={self.model.resolve()}',
            f'engine:={self.engine}',
            f'processing_mode:={"every" if self.every else "latest"}',
            f'image_transport:={"compressed" if self.compressed else "raw"}',
            f'allow_unscaled_depth:={"true" if self.allow_unscaled_depth else "false"}',
            'exit_on_failure:=true',
            *self.parameters,
        )
        remaps = (
            f'__node:={NODE_NAME}',
            '__ns:=/',
            f'~/image:={self.image_topic}',
            f'~/camera_info:={self.camera_info_topic}',
        )
        return [
            *(sys.executable, '-m', 'sg_depth_ros.node.depth_node', '--ros-args'),
            *(word for remap in remaps for word in ('-r', remap)),
            *(word for parameter in parameters for word in ('-p', parameter)),
        ]


class NodeProcess:
    """The node while it runs; use as a context manager."""

    def __init__(self, settings: NodeSettings, domain_id: int, log: Path) -> None:
        """
        Prepare to start the node.

        :param log: what the node prints is appended to it.
        """
        self._settings = settings
        self._domain_id = domain_id
        self._log = log
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> 'NodeProcess':
        """Start the node."""
        environment = {
            **os.environ,
            'ROS_DOMAIN_ID': str(self._domain_id),
            'PYTHONUNBUFFERED': '1',
            'RCUTILS_COLORIZED_OUTPUT': '0',
        }
        # The package may be run from a checkout, in any working directory.
        root = str(Path(__file__).resolve().parents[3])
        environment['PYTHONPATH'] = os.pathsep.join(
            [root, *filter(None, [os.environ.get('PYTHONPATH')])]
        )
        command = self._settings.command()
        with self._log.open('ab') as log:
            log.write(f'$ {" ".join(command)}\n'.encode())
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C ends the node through us, not beside us
                preexec_fn=_die_with_parent(),  # where we are killed
            )
        return self

    def __exit__(self, *exception: object) -> None:
        """End the node: politely, then by force, also where a second Ctrl-C ends the waiting."""
        assert self._process is not None
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def check(self) -> None:
        """
        Make sure that the node still runs.

        :raises UserError: where it ended over a user's mistake.
        :raises NodeDiedError: where it ended otherwise.
        """
        assert self._process is not None
        status = self._process.poll()
        if status is None:
            return
        how = f'with status {status}' if status >= 0 else f'by {_signal_words(-status)}'
        text = f'the node ended {how}: {self._last_words()}; its log: {self._log}'
        if status == USER_ERROR_EXIT_STATUS:
            raise UserError(text)
        raise NodeDiedError(text)

    def _last_words(self) -> str:
        """Return the line of the log that most likely says why the node ended."""
        with self._log.open('rb') as file:
            file.seek(self._log_start)
            lines = [line.strip() for line in file.read().decode(errors='replace').splitlines()]
        lines = [line for line in lines if line]
        telling = [line for line in lines if _TELLS_WHY.search(line)]
        if telling:
            return telling[-1][:300]
        return f'last line "{lines[-1][:300]}"' if lines else 'it printed nothing'


def _die_with_parent() -> Callable[[], object] | None:
    """Return what lets Linux end a child process whose parent was killed; elsewhere nothing."""
    if not sys.platform.startswith('linux'):
        return None
    library = ctypes.CDLL(None)  # before the fork, after which nothing may be loaded
    return lambda: library.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _signal_words(number: int) -> str:
    hint = ' (the system sends it where memory is short)' if number == signal.SIGKILL else ''
    return f'signal {signal.Signals(number).name}{hint}'
