"""
Weights of monodepth2 (https://github.com/nianticlabs/monodepth2, Godard et al., ICCV 2019).

A folder holds encoder.pth and depth.pth and, unless it was trained on stereo pairs alone,
pose_encoder.pth and pose.pth.
"""

from pathlib import Path

from torch import Tensor

from sg_depth_ros.errors import UserError
from training.networks.pose import PoseNetworkConfig
from training.networks.weights.imported import Imported
from training.networks.weights.imported import ImportedPose
from training.networks.weights.reading import read_entries
from training.networks.weights.renaming import Source
from training.networks.weights.renaming import without_wrappers
from training.networks.weights.unet import load_pose_resnet
from training.networks.weights.unet import load_unet

ADVICE = "give monodepth2's folder of encoder.pth, depth.pth, pose_encoder.pth and pose.pth"
LICENCE = (
    'monodepth2 (Niantic): non-commercial use only; trained by its users on data with terms of '
    'their own (KITTI: CC BY-NC-SA 3.0)'
)
# What encoder.pth holds beside tensors.
NOTES = ('height', 'width', 'use_stereo')
NO_POSE = '--without-pose imports depth alone'


def read_monodepth2(folder: Path, with_pose: bool, depth_factor: float) -> Imported:
    """
    Read a folder of weights.

    :param folder: with the files as monodepth2 names them.
    :param with_pose: whether to read the pose network, where there is one.
    :param depth_factor: their depth times this is ours; 5.4 makes metres of networks trained with
        KITTI's stereo pairs.
    :raises UserError: naming the file and the key that does not fit.
    """
    if not folder.is_dir():
        raise UserError(f'{folder}: is no folder; {ADVICE}')
    files = [folder / 'encoder.pth', folder / 'depth.pth']
    entries = read_entries(files[0], ADVICE)
    notes = {key: entries.pop(key) for key in NOTES if key in entries}
    encoder, decoder = _source(files[0], entries), _read(files[1])
    config, depth = load_unet(encoder, decoder, depth_factor)
    pose = None
    if with_pose and (folder / 'pose.pth').exists():
        files += [folder / 'pose_encoder.pth', folder / 'pose.pth']
        pose = _read_pose(files[2], files[3])
    return Imported(config, depth, pose, tuple(files), LICENCE, _facts(notes, depth_factor))


def _read_pose(encoder_path: Path, decoder_path: Path) -> ImportedPose:
    decoder = _read(decoder_path)
    if not encoder_path.exists():
        raise UserError(
            f'{encoder_path}: is missing, so {decoder_path.name} is a pose network of another '
            f'kind (shared or posecnn), which there is none of here; {NO_POSE}'
        )
    return load_pose_resnet(_read(encoder_path), decoder, PoseNetworkConfig('resnet18'), NO_POSE)


def _read(path: Path) -> Source:
    return _source(path, read_entries(path, ADVICE))


def _source(path: Path, entries: dict[str, object]) -> Source:
    weights: dict[str, Tensor] = {}
    for key, value in entries.items():
        if not isinstance(value, Tensor):
            raise UserError(f'{path}: {key} is no tensor; {ADVICE}')
        weights[key] = value
    return without_wrappers(weights, str(path))


def _facts(notes: dict[str, object], depth_factor: float) -> tuple[str, ...]:
    facts = []
    if 'width' in notes and 'height' in notes:
        facts.append(f'trained on images of {notes["width"]}x{notes["height"]}')
    if notes.get('use_stereo'):
        facts.append(
            'trained with stereo pairs whose baseline it took for 0.1'
            + ('' if depth_factor != 1 else '; on KITTI --depth-factor 5.4 makes metres of it')
        )
    return tuple(facts)
