"""What is kept of how a run was started."""

import json
import shutil
import subprocess

import pytest
import torch
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from training import train
from training.running.environment import PATCH_BYTES
from training.running.environment import write_patch


@pytest.fixture
def checkout(tmp_path):
    """A repository with one committed file."""
    if shutil.which('git') is None:
        pytest.skip('no git')
    folder = tmp_path / 'checkout'
    folder.mkdir()
    (folder / 'network.py').write_text('channels = 1\n')
    name = ['-c', 'user.name=a', '-c', 'user.email=a@example.org']
    for command in (['init', '-q'], ['add', '.'], [*name, 'commit', '-q', '-m', 'first']):
        subprocess.run(['git', *command], cwd=folder, check=True)
    return folder


def test_a_run_and_its_continuation_are_both_recorded(tmp_path):
    dataset = write_noise_dataset(tmp_path / 'dataset')
    segmentation = write_segmentation(tmp_path / 'segmentation.ckpt')
    out = tmp_path / 'run'
    first = options(dataset, segmentation, out, '--seed_everything=7')
    train.main(first)
    (record,) = json.loads((out / 'environment.json').read_text())
    assert record['command'] == ['python', '-m', 'training', 'train', *first]
    assert record['seed'] == 7
    assert record['first_step'] == 0
    assert record['packages']['torch'] == torch.__version__
    assert record['accelerator'] == 'cpu'
    assert record['processes'] == 1
    train.main(options(dataset, segmentation, out, '--resume=true', '--trainer.max_steps=3'))
    records = json.loads((out / 'environment.json').read_text())
    assert records[0] == record
    assert [r['first_step'] for r in records] == [0, 2]


def test_changes_that_are_not_committed_are_kept(checkout, tmp_path):
    assert write_patch(tmp_path, 1, checkout) is None
    (checkout / 'network.py').write_text('channels = 2\n')
    (checkout / 'new.py').write_text('staged = 3\n')
    subprocess.run(['git', 'add', 'new.py'], cwd=checkout, check=True)
    first = write_patch(tmp_path, 1, checkout)
    text = first.read_text()
    assert '-channels = 1\n+channels = 2' in text
    assert '+staged = 3' in text
    (checkout / 'network.py').write_text('channels = 4\n')
    second = write_patch(tmp_path, 2, checkout)
    assert '+channels = 4' in second.read_text()
    assert first.read_text() == text


def test_a_huge_patch_is_cut_and_says_so(checkout, tmp_path):
    (checkout / 'network.py').write_text('x = 1\n' * PATCH_BYTES)
    patch = write_patch(tmp_path, 1, checkout)
    assert patch.stat().st_size < PATCH_BYTES + 100
    assert patch.read_text().endswith('[cut: the patch is longer]\n')


def test_code_outside_a_repository_has_no_patch(tmp_path):
    assert write_patch(tmp_path, 1, tmp_path) is None
