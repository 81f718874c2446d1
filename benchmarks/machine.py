"""On what, and with what, benchmarks ran."""

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

# Whose speed is ours too.
PACKAGES = ('numpy', 'opencv-python-headless', 'torch', 'onnxruntime', 'ros-rclpy', 'rosbags')


@dataclass(frozen=True)
class Machine:
    """Where ratios are comparable."""

    processor: str
    cores: int
    memory_gib: int
    system: str

    def __str__(self) -> str:
        """Return a line for people."""
        return f'{self.processor}, {self.cores} cores, {self.memory_gib} GiB, {self.system}'


def this_machine() -> Machine:
    """Return what this process runs on."""
    pages = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    system = f'{platform.system()} {platform.machine()}'
    return Machine(_processor_name(), os.cpu_count() or 1, round(pages / 2**30), system)


def processor() -> str:
    """Return the CPU's name and its number of cores."""
    return f'{_processor_name()}, {os.cpu_count()} cores'


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that benchmarks use, as installed."""
    installed = {d.metadata['Name']: d.version for d in metadata.distributions()}
    found = {name: installed[name] for name in PACKAGES if name in installed}
    return {'python': platform.python_version(), **found}


def _processor_name() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        return next(line.split(':')[1].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
