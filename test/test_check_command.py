"""The command check: its page and status, damaged images, frames rebuilt by a checkpoint."""

from pathlib import Path

import pytest
import torch
from checked_drives import CAMERA
from checked_drives import write_good_drive
from checked_drives import write_turning_drive

from sg_depth_ros.errors import UserError
from training.__main__ import main as training_main
from training.check import check
from training.checking.drive_check import check_drive
from training.checking.reprojection import Reprojector
from training.checkpoint import checkpoint_entries
from training.data.drive import frame_path
from training.data.drive import write_drive
from training.networks.depth import DepthNetworkConfig
from training.networks.guided import GuidedDepthNetwork
from training.networks.pose import PoseNetworkConfig
from training.networks.pose import build_pose_network
from training.provenance import Provenance


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp('checked') / 'good'
    (folder / 'frames').mkdir(parents=True)
    drive = write_good_drive(folder, start_s=5.2, frames=48)
    write_drive(drive, folder)
    return folder, drive


@pytest.fixture(scope='module')
def turning(tmp_path_factory):
    folder = tmp_path_factory.mktemp('turning') / 'spot'
    (folder / 'frames').mkdir(parents=True)
    return folder, write_turning_drive(folder, frames=14)


def test_the_command_writes_one_page_and_says_by_its_status_whether_there_are_errors(
    turning, tmp_path, capsys
):
    folder, _ = turning
    command = ['check', str(folder.parent), '--drive', 'spot', '--out']
    assert training_main([*command, str(tmp_path / 'a')]) == 1
    assert 'travelling' in capsys.readouterr().out  # cells of the table are narrow
    page = (tmp_path / 'a' / 'check.html').read_text()
    assert 'turn without travelling' in page and 'data:image/jpeg' in page
    assert 'http://' not in page.replace('http://www.w3.org', '') and 'https://' not in page


def test_mistakes_of_the_user_end_with_status_2(good, tmp_path, capsys):
    assert training_main(['check', str(tmp_path / 'nowhere')]) == 2
    assert training_main(['check', str(good[0].parent), '--drive', 'other']) == 2
    assert 'there are: good' in capsys.readouterr().err


def test_a_damaged_image_is_an_error_and_the_rest_is_still_checked(turning, tmp_path):
    folder = tmp_path / 'spot'
    folder.mkdir()
    (folder / 'frames').mkdir()
    source, drive = turning
    for frame in drive.frames:
        data = frame_path(source, frame.index).read_bytes()
        frame_path(folder, frame.index).write_bytes(b'' if frame.index == 3 else data)
    checked = check_drive(folder, drive, lambda steps: None)
    assert ('error', 'damaged images') in [(f.level, f.subject) for f in checked.findings]
    assert len(checked.motions.frames) == len(drive.frames) - 3


def write_checkpoint(path: Path, *, with_pose: bool) -> None:
    """Write an untrained, narrow depth network, and the pose network beside it."""
    torch.manual_seed(0)
    config = DepthNetworkConfig(encoder_width=8, decoder_channels=(8, 8, 8, 8, 8), guidance='none')
    network = GuidedDepthNetwork(config, None)
    pose = PoseNetworkConfig() if with_pose else None
    state = {f'network.{key}': value for key, value in network.state_dict().items()}
    if pose is not None:
        weights = build_pose_network(pose).state_dict()
        state |= {f'pose.{key}': value for key, value in weights.items()}
    provenance = Provenance(CAMERA.resized(128, 64), 'speed', 1, 'a', 'b', 'c', 'CC0')
    torch.save({**checkpoint_entries(network, pose, provenance), 'state_dict': state}, path)


def test_with_a_checkpoint_frames_are_shown_rebuilt_from_their_neighbours(good, tmp_path):
    write_checkpoint(tmp_path / 'depth.ckpt', with_pose=True)
    reprojector = Reprojector(tmp_path / 'depth.ckpt')
    panels = reprojector.panels(*good)
    assert [p.frame for p in panels] == sorted({p.frame for p in panels})
    assert len(panels) == 3
    assert all(p.picture.std() > 20 for p in panels)
    assert 'rebuilt from' in panels[0].caption


def test_a_checkpoint_without_a_pose_network_is_refused(good, tmp_path):
    write_checkpoint(tmp_path / 'depth.ckpt', with_pose=False)
    with pytest.raises(UserError, match='holds no pose network'):
        check(good[0].parent, tmp_path, checkpoint=tmp_path / 'depth.ckpt')
