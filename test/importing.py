"""Weights of other projects, and the command that imports them: for tests."""

from pathlib import Path

import pytest
import torch
from original_weights import packnet
from original_weights import posenet
from original_weights import write_monodepth2
from original_weights import write_packnet_sfm

from training import import_weights
from training.checkpoint import LoadedDepth
from training.checkpoint import load_depth_checkpoint

CAMERA = ['--intrinsics', '64', '64', '63.5', '31.5', '--size', '128', '64']
LEVELS = (12, 10, 8, 6, 4)


def imported(weights: Path, kind: str, *options: str) -> LoadedDepth:
    """Import with the command and read what it wrote."""
    out = weights.parent / 'imported.ckpt'
    given = options or tuple(CAMERA)
    assert import_weights.main([str(weights), '--as', kind, '--out', str(out), *given]) == 0
    return load_depth_checkpoint(out)


def write_originals(folder: Path) -> None:
    """Write ``mono_640x192``, as monodepth2 does, and ``packnet.ckpt``, as packnet-sfm does."""
    write_monodepth2(folder / 'mono_640x192', channels=LEVELS)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        write_packnet_sfm(folder / 'packnet.ckpt', packnet(16, 4), posenet(), patch)
