"""Where a trained network comes from: what its checkpoint and its model file say of it."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ScaleSource

ENCODER_ONLY = 0  # the stage of a network whose decoder is still random


@dataclass(frozen=True)
class Provenance:
    """
    Where a trained network comes from.

    ``intrinsics`` are those of the training images at the network's size; ``stage`` is 1 before
    resampling, 2 after, and ENCODER_ONLY where nothing but the encoder has learnt anything.
    """

    intrinsics: Intrinsics
    scale_source: ScaleSource
    stage: int
    dataset_sha256: str
    config_sha256: str
    git_commit: str
    data_licence: str = 'not stated'
    weights_licence: str = 'not stated'
    validation: Mapping[str, float] = field(default_factory=dict)


def git_commit() -> str:
    """Return the commit of this checkout, ``-dirty`` where files differ, else ``unknown``."""
    command = ['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    folder = Path(__file__).parent
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return run.stdout.strip() or 'unknown'
