"""
``train``: the depth network, self-supervised.

    python -m training train --config config/training/depth.yaml --data.root DATASET

Every option can be given in the YAML file or behind the verb; ``--print_config`` shows them all.
"""

from sg_depth_ros.errors import UserError
from training.data.datamodule import DepthData
from training.fitting import FitCLI
from training.fitting import Verb
from training.fitting import config_sha256
from training.fitting import fit
from training.fitting import git_commit
from training.objective.depth_module import DepthModule

VERB = Verb(title='train depth', default_out='runs/depth', result='depth.ckpt')


def main(arguments: list[str]) -> int:
    """
    Train as the command line says and print where the checkpoint lies.

    :raises UserError: for mistakes in the options or the data.
    """
    path = fit(VERB, DepthModule, DepthData, arguments, _check_and_describe)
    print(f'depth network: {path}')
    return 0


def _check_and_describe(cli: FitCLI, module: DepthModule, data: DepthData) -> None:
    scale = module.objective_config.scale
    if scale != 'none' and data.scale_source == 'none':
        raise UserError(
            f'{data.root}: no speed or pose was recorded, so depth cannot be metric; '
            'train up to scale with --model.objective.scale none'
        )
    camera = data.intrinsics
    print(
        f'{len(data.dataset)} triplets of {len(data.dataset.drives)} drives at '
        f'{camera.width}x{camera.height}, field of view {camera.horizontal_fov_deg():.0f} deg, '
        f'scale from {data.scale_source if scale != "none" else "nowhere"}'
    )
    module.describe_origin(data, config_sha256(cli), git_commit())
