"""What every test stands on: a ROS domain of its own, few threads, the real drives if any."""

import os
import shutil
import signal
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from sg_depth_ros.replay.live.ros_domain import leased_ros_domain

# At import, before any test module imports rclpy or torch; nodes that tests start inherit it.
# The lease lasts as long as this module.
_lease = leased_ros_domain()
os.environ['ROS_DOMAIN_ID'] = str(_lease.__enter__())
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
# Small networks gain nothing from threads, and on a busy machine threads wait for each other.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MPLBACKEND', 'Agg')

# On a loaded machine a single example may be slow without anything being wrong.
settings.register_profile('default', deadline=None)
settings.register_profile('ci', deadline=None, derandomize=True, print_blob=True)
settings.load_profile('ci' if os.environ.get('CI') else 'default')


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Return the folder of real drives beside the checkout; skip where there is none."""
    folder = Path(__file__).resolve().parents[2] / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip(f'no real drives in {folder}')
    return folder


@pytest.fixture
def interruptible():
    """Let this process and its children hear SIGINT, also as a shell's background job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope='session')
def export_of(tmp_path_factory):
    """Return the export of a guidance operator in both precisions, made once: it takes seconds."""
    import onnx
    from exported_models import Exported
    from exported_models import write_checkpoint

    from training.__main__ import main

    @cache
    def make(guidance):
        folder = tmp_path_factory.mktemp(guidance)
        checkpoint, model = folder / 'depth.ckpt', folder / 'out' / 'model.onnx'
        write_checkpoint(checkpoint, guidance)
        arguments = ['export', str(checkpoint), '--out', str(model), '--precision', 'both']
        assert main(arguments) == 0
        half = model.with_name('model.fp16.onnx')
        assert sorted(model.parent.iterdir()) == [half, model]
        return Exported(checkpoint, model, half, onnx.load(str(model)), onnx.load(str(half)))

    return make


@pytest.fixture(scope='session', params=['pac', 'spade', 'none'])
def exported(request, export_of):
    """Return the export of each guidance operator."""
    return export_of(request.param)


@pytest.fixture(scope='session')
def unguided(export_of):
    """Return the export of an unguided network."""
    return export_of('none')


@pytest.fixture(scope='session')
def originals(tmp_path_factory):
    """Return the folder of other projects' weights, of which tests get links."""
    from importing import write_originals

    folder = tmp_path_factory.mktemp('originals')
    write_originals(folder)
    return folder


@pytest.fixture
def monodepth2(originals, tmp_path):
    """Return a folder of monodepth2's weights that the test may change."""
    folder = tmp_path / 'mono_640x192'
    shutil.copytree(originals / folder.name, folder, copy_function=os.link)
    return folder


@pytest.fixture
def packnet_sfm(originals, tmp_path):
    """Return a file of packnet-sfm's weights that the test may change."""
    os.link(originals / 'packnet.ckpt', tmp_path / 'packnet.ckpt')
    return tmp_path / 'packnet.ckpt'


@pytest.fixture(scope='module')
def shared_drive(tmp_path_factory):
    """Return the drive before a node in its own process that the tests of a file share."""
    from watched_drive import watched_drive

    with watched_drive(tmp_path_factory.mktemp('drive')) as drive:
        yield drive


@pytest.fixture
def wide_console(monkeypatch):
    """Keep what is told in one line in one line."""
    monkeypatch.setenv('COLUMNS', '300')
