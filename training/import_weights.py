"""
``import``: weights of other projects become a checkpoint of ours.

What is verified of each kind, and how, is in docs/import.md.
"""

import argparse
import hashlib
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any
from typing import NamedTuple

import torch

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.arguments import positive_number
from training.checkpoint import checkpoint_entries
from training.checkpoint_file import NETWORK_PREFIX
from training.checkpoint_file import POSE_PREFIX
from training.checkpoint_file import STATE_KEY
from training.data.drive import list_drives
from training.data.drive import read_drive
from training.networks.depth import MIN_SIZE_PX
from training.networks.depth import DepthNetworkConfig
from training.networks.depth import takes_size
from training.networks.guided import GuidedDepthNetwork
from training.networks.pose import PoseNetworkConfig
from training.networks.semantic import SemanticNetwork
from training.networks.semantic_source import load_semantic_network
from training.networks.weights.imported import Imported
from training.networks.weights.monodepth2 import read_monodepth2
from training.networks.weights.packnet_sfm import read_packnet_sfm
from training.networks.weights.torchvision import read_torchvision
from training.provenance import ENCODER_ONLY
from training.provenance import Provenance
from training.provenance import git_commit

# Of the contract, which knows a dataset and a configuration only where we trained.
UNKNOWN_DATASET = 'not known: imported weights'
# An encoder alone was trained on no camera's images, and no one can export it.
NO_CAMERA = Intrinsics(1.0, 1.0, 0.0, 0.0, 1, 1)


class ImportOptions(NamedTuple):
    """
    How to import.

    :param camera: of the images that the weights were trained on, at the network's size.
    :param metric: whether the weights say depth in metres, after ``depth_factor``.
    :param depth_factor: their depth times this is ours.
    :param segmentation: semantic network whose labels go with the depth; it guides nothing.
    :param with_pose: whether to take over a pose network.
    """

    camera: Intrinsics | None = None
    metric: bool = False
    depth_factor: float = 1.0
    segmentation: Path | None = None
    with_pose: bool = True


# kind -> reads it.
KINDS: dict[str, Callable[[Path, ImportOptions], Imported]] = {
    'torchvision-resnet18': lambda path, _: read_torchvision(path, 'resnet18'),
    'torchvision-resnet34': lambda path, _: read_torchvision(path, 'resnet34'),
    'torchvision-resnet50': lambda path, _: read_torchvision(path, 'resnet50'),
    'packnet-sfm': lambda path, given: read_packnet_sfm(path, given.with_pose),
    'monodepth2': lambda path, given: read_monodepth2(path, given.with_pose, given.depth_factor),
}


def import_weights(kind: str, weights: Path, out: Path, options: ImportOptions) -> Imported:
    """
    Write the checkpoint.

    :param kind: one of KINDS.
    :param weights: the file or folder to import.
    :param out: the checkpoint to write, whole or not at all.
    :raises UserError: where an option is missing or the weights do not fit.
    """
    if out.is_dir():
        raise UserError(f'{out}: is a folder; name the file to write, such as {out}/depth.ckpt')
    _check_options(kind, options)
    semantic = (
        None if options.segmentation is None else load_semantic_network(options.segmentation)
    )
    imported = KINDS[kind](weights, options)
    camera = options.camera
    if camera is None:
        if imported.knows_depth:
            raise UserError(
                'which camera took the images that the weights were trained on? Give --data '
                'DATASET of that camera, or --intrinsics FX FY CX CY and --size WIDTH HEIGHT'
            )
        camera = NO_CAMERA
    provenance = Provenance(
        intrinsics=camera,
        scale_source='imported' if options.metric else 'none',
        stage=1 if imported.knows_depth else ENCODER_ONLY,
        dataset_sha256=UNKNOWN_DATASET,
        config_sha256=f'weights {_sha256(imported.files)}',
        git_commit=git_commit(),
        data_licence='of its origin; see the weights',
        weights_licence=imported.licence,
    )
    _write(checkpoint_content(imported, semantic, provenance), out)
    return imported


def checkpoint_content(
    imported: Imported, semantic: SemanticNetwork | None, provenance: Provenance
) -> dict[str, Any]:
    """Return what a checkpoint of ``train`` with these networks would hold."""
    network = GuidedDepthNetwork(imported.config, semantic)
    network.depth = imported.depth  # without guidance the semantic network changes nothing in it
    state = {NETWORK_PREFIX + key: value for key, value in network.state_dict().items()}
    pose = imported.pose
    if pose is not None:
        state |= {POSE_PREFIX + key: value for key, value in pose.network.state_dict().items()}
    pose_config = None if pose is None else pose.config
    return {STATE_KEY: state, **checkpoint_entries(network, pose_config, provenance)}


def train_options(imported: Imported) -> list[str]:
    """Return the options of ``train`` that the networks need: what differs from the defaults."""
    if not imported.knows_depth:
        return [f'--model.network.architecture {imported.config.architecture}']
    options = _differing('network', imported.config, DepthNetworkConfig(guidance='none'))
    if imported.pose is not None:
        options += _differing('pose', imported.pose.config, PoseNetworkConfig())
    return options


def _differing(group: str, config: Any, default: Any) -> list[str]:
    options = []
    for field in fields(config):
        value = getattr(config, field.name)
        if value != getattr(default, field.name):
            text = str(list(value) if isinstance(value, tuple) else value).replace(' ', '')
            options.append(f'--model.{group}.{field.name} {text}')
    return options


def _check_options(kind: str, options: ImportOptions) -> None:
    if options.depth_factor != 1 and kind != 'monodepth2':
        raise UserError('--depth-factor is for monodepth2, whose networks it can be built into')
    camera = options.camera
    if camera is None:
        return
    width, height = camera.width, camera.height
    if not takes_size(width, height):
        raise UserError(
            f'images of {width}x{height}: the networks need sides that are multiples of 32 and at '
            f'least {MIN_SIZE_PX}'
        )


def _sha256(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open('rb') as content:
            while chunk := content.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _write(content: dict[str, Any], out: Path) -> None:
    temporary = out.with_name(f'.{out.name}.{os.getpid()}.tmp')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.save(content, temporary)
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as the latter
        raise UserError(f'{out}: cannot be written ({error})') from error


def camera_of(dataset: Path) -> Intrinsics:
    """
    Return the camera of a dataset's images.

    :raises UserError: where its drives differ in size.
    """
    drives = [read_drive(folder) for folder in list_drives(dataset)]
    cameras = [drive.intrinsics for drive in sorted(drives, key=lambda d: -len(d.frames))]
    if len({(camera.width, camera.height) for camera in cameras}) > 1:
        raise UserError(f'{dataset}: its drives differ in size; give --intrinsics and --size')
    return cameras[0]


def _camera(given: argparse.Namespace) -> Intrinsics | None:
    if given.data is not None:
        if given.intrinsics or given.size:
            raise UserError('give either --data, or --intrinsics and --size')
        return camera_of(given.data)
    if bool(given.intrinsics) != bool(given.size):
        raise UserError('--intrinsics and --size go together')
    return Intrinsics(*given.intrinsics, *given.size) if given.intrinsics else None


def print_import(imported: Imported, out: Path, options: ImportOptions) -> None:
    """Print what was imported, and how to go on."""
    config, pose = imported.config, imported.pose
    count = sum(p.numel() for p in imported.depth.parameters())
    print(f'{config.name}, {count:,} parameters{"" if imported.knows_depth else ": encoder only"}')
    if imported.knows_depth:
        print(f'pose network: {"none" if pose is None else pose.config.architecture}')
        scale = 'metres, says its origin' if options.metric else 'unknown (--metric states metres)'
        print(f'depth {config.min_depth_m:g} to {config.max_depth_m:g}, scale: {scale}')
    for fact in imported.facts:
        print(f'note: {fact}')
    print(f'licence: {imported.licence}')
    parts = 'all' if imported.knows_depth else 'encoder'
    train = [f'--model.initial_weights {out}', f'--model.initial_parts {parts}']
    print(f'to train from it: {" ".join(train + train_options(imported))}')
    print(f'checkpoint: {out}')


def main(arguments: list[str]) -> int:
    """Run the verb."""
    given = _parser().parse_args(arguments)
    options = ImportOptions(
        camera=_camera(given),
        metric=given.metric or given.depth_factor != 1,
        depth_factor=given.depth_factor,
        segmentation=given.segmentation,
        with_pose=not given.without_pose,
    )
    imported = import_weights(given.kind, given.weights, given.out, options)
    print_import(imported, given.out, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training import',
        description='Turn weights of torchvision, packnet-sfm or monodepth2 into a checkpoint for '
        'train, evaluate and export. Every tensor must fit; nothing in the file is run. The '
        'camera asked for is that of the images the weights were trained on, at the size at which '
        'the network will run: where another camera is used, depth is corrected by its focal '
        'length. An encoder of torchvision needs none.',
    )
    add = parser.add_argument
    add('weights', type=Path, metavar='WEIGHTS', help='file; for monodepth2 the folder of files')
    add('--as', dest='kind', choices=KINDS, required=True, help='what the weights are')
    add('--out', type=Path, required=True, metavar='CKPT', help='the checkpoint to write')
    add('--data', type=Path, metavar='DATASET', help='dataset folder with that camera and size')
    add('--intrinsics', type=float, nargs=4, metavar=('FX', 'FY', 'CX', 'CY'), help='in pixels')
    add('--size', type=int, nargs=2, metavar=('WIDTH', 'HEIGHT'), help="the network's images")
    add('--metric', action='store_true', help='the weights say depth in metres')
    add(
        '--depth-factor',
        type=positive_number,
        default=1.0,
        metavar='F',
        help='monodepth2: depth times this is metres; 5.4 where trained with stereo on KITTI',
    )
    add(
        '--segmentation',
        type=Path,
        metavar='CKPT',
        help='semantic network whose labels the exported model gives beside depth',
    )
    add('--without-pose', action='store_true', help='leave the pose network out')
    return parser
