"""Names in packnet-sfm's PackNet01, PackNetSlim01 and PoseNet."""

from training.networks.inverse_depth import LEVEL_STRIDES
from training.networks.inverse_depth import SCALE_COUNT
from training.networks.packnet import RESIDUAL_BLOCKS

STAGE_COUNT = len(RESIDUAL_BLOCKS) + 1  # as many packings
POSENET_CONVOLUTIONS = 7


def _convolution(theirs: str, ours: str) -> dict[str, str]:
    return {f'{theirs}.conv_base': f'{ours}.conv', f'{theirs}.normalize': f'{ours}.norm'}


def _residual(theirs: str, ours: str) -> dict[str, str]:
    return {
        **_convolution(f'{theirs}.conv1', f'{ours}.conv1'),
        **_convolution(f'{theirs}.conv2', f'{ours}.conv2'),
        f'{theirs}.conv3': f'{ours}.shortcut',
        f'{theirs}.normalize': f'{ours}.norm',
    }


def _packnet_names() -> dict[str, str]:
    """Their stages count from 1, fine to coarse; our decoder's levels are coarse to fine."""
    names = {
        **_convolution('pre_calc', 'encoder.stem'),
        **_convolution('conv1', 'encoder.blocks.0'),
    }
    for stage, count in enumerate(RESIDUAL_BLOCKS, start=1):
        for block in range(count):
            names |= _residual(f'conv{stage + 1}.{block}', f'encoder.blocks.{stage}.{block}')
    for stage in range(STAGE_COUNT):
        pack = f'encoder.packs.{stage}'
        names |= {f'pack{stage + 1}.conv3d': f'{pack}.conv3d'}
        names |= _convolution(f'pack{stage + 1}.conv', pack)
    for index in range(len(LEVEL_STRIDES)):
        level, theirs = f'decoder.levels.{index}', len(LEVEL_STRIDES) - index
        names |= {f'unpack{theirs}.conv3d': f'{level}.unpack.conv3d'}
        names |= _convolution(f'unpack{theirs}.conv', f'{level}.unpack.conv')
        names |= _convolution(f'iconv{theirs}', f'{level}.conv')
    for index in range(SCALE_COUNT):
        names[f'disp{SCALE_COUNT - index}_layer.conv1'] = f'decoder.heads.{index}.conv'
    return names


PACKNET_NAMES = _packnet_names()
# Convolution, GroupNorm, ReLU, seven times; ours are one sequence.
POSENET_NAMES = {
    **{f'conv{i + 1}.0': f'features.{3 * i}' for i in range(POSENET_CONVOLUTIONS)},
    **{f'conv{i + 1}.1': f'features.{3 * i + 1}' for i in range(POSENET_CONVOLUTIONS)},
    'pose_pred': 'motion',
}
