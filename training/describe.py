"""
``describe``: the networks that a configuration builds, layer by layer, without building data.

    python -m training describe --config config/training/small.yaml --model.network.guidance spade
"""

import argparse
from pathlib import Path
from typing import Any
from typing import Literal
from typing import NamedTuple

import torch
from lightning.pytorch.cli import LightningArgumentParser
from rich import box
from rich.console import Console
from rich.table import Table

from sg_depth_ros.errors import UserError
from training.command_line import RunCLI
from training.data.datamodule import DepthData
from training.data.segmentation_datamodule import SegmentationData
from training.networks.depth import MIN_SIZE_PX
from training.networks.depth import DepthNetworkConfig
from training.networks.depth import takes_size
from training.networks.description import Description
from training.networks.description import GuidedLevel
from training.networks.description import describe_depth
from training.networks.description import describe_pose
from training.networks.description import describe_semantic
from training.networks.description import guided_levels
from training.networks.pose import PoseNetworkConfig
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.semantic import SemanticNetwork
from training.networks.semantic_source import load_semantic_network
from training.objective.depth_module import DepthModule
from training.objective.segmentation_module import SegmentationModule

Verb = Literal['train', 'segment']

PROGRAM = 'python -m training describe'
DESCRIPTION = """
Print the networks that a configuration of train (or of segment) builds: every layer with its
output, its parameters and its multiplications (GMAC: billions of them, for one image), and how
guidance is laid out. Takes every option of train, so that its command line can be reused; what
does not concern the networks is not looked at, and nothing is written. Neither the dataset nor the
semantic network's file must exist: a ResNet-18 feature pyramid is described where the file does
not.
"""
HEIGHT_PX, WIDTH_PX = 192, 640
PIPE_WIDTH = 120  # columns, where there is no terminal to fit into
COMPONENTS = ('encoder', 'decoder', 'guidance')  # of a network, by the names of its layers


class Part(NamedTuple):
    """A network that runs on the vehicle, and the same with folded packings."""

    name: str
    plain: Description
    folded: Description | None = None


class DescribeCLI(RunCLI):
    """Parses the command line of a verb that trains, and builds nothing of it."""

    def instantiate_classes(self) -> None:
        """Leave everything as parsed: no weights, no dataset, no trainer."""


def main(arguments: list[str]) -> int:
    """
    Print the networks of a configuration.

    :param arguments: the command line behind ``describe``.
    :raises UserError: for mistakes in the options, or a damaged file of a semantic network.
    """
    cli = _parse(arguments, _verb(arguments))
    height, width = int(cli.config['height']), int(cli.config['width'])
    if not takes_size(width, height):
        raise UserError(
            f'--width {width} --height {height}: give multiples of 32, at least {MIN_SIZE_PX}'
        )
    tables = _segment if cli.config['verb'] == 'segment' else _train
    found = tables(cli.config['model'], height, width)
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(f'One image of {width}x{height}; outputs are channels x height x width.\n')
    for table in found:
        console.print(table, highlight=False)
    return 0


def _segment(model: Any, height: int, width: int) -> list[Table | str]:
    with torch.device('meta'):
        network = SegmentationNetwork(SegmentationConfig(**model['network'].as_dict()))
    description = describe_semantic(network, height, width)
    return [layer_table(f'Semantic network: {network.describe()}', description)]


def _train(model: Any, height: int, width: int) -> list[Table | str]:
    config = DepthNetworkConfig(**model['network'].as_dict())
    pose_config = PoseNetworkConfig(**model['pose'].as_dict())
    semantic, remark = _semantic_network(model['segmentation'], config)
    depth, folded = describe_depth(config, semantic, height, width)
    parts = [Part('depth network', depth, folded)]
    title = f'Depth network: {config.name}, guidance {config.guidance}'
    tables: list[Table | str] = [layer_table(title, depth, folded)]
    if semantic is not None:
        description = describe_semantic(semantic, height, width)
        parts.append(Part('semantic network', description))
        title = f'Semantic network, frozen: {semantic.describe()}{remark}'
        tables.append(layer_table(title, description))
    pose = describe_pose(pose_config, height, width)
    title = f'Pose network, for training only: {pose_config.architecture}, two context images'
    tables += [layer_table(title, pose), totals_table(parts, pose)]
    levels = guided_levels(config, semantic, height, width)
    if levels:
        return [*tables, guidance_table(config, levels), guidance_notes(config, levels)]
    return [*tables, 'Guidance: none; no semantic feature reaches the depth network.']


def layer_table(title: str, description: Description, folded: Description | None = None) -> Table:
    """
    Lay a network out, one row per layer.

    :param folded: the same network with folded packings, which has the same layers.
    """
    table = _table(title, 'layer', 'module', 'output')
    _number_columns(table, 'parameters', 'GMAC')
    if folded is not None:
        _number_columns(table, 'parameters\nfolded', 'GMAC\nfolded')
    rows = [description, *([] if folded is None else [folded])]
    for layers in zip(*(row.layers for row in rows)):
        first = layers[0]
        outputs = ', '.join(' x '.join(map(str, shape)) for shape in first.shapes)
        numbers = [n for layer in layers for n in _numbers(layer.parameters, layer.gmac)]
        table.add_row(first.name, first.kind, outputs, *numbers)
    table.add_section()
    sums = [n for row in rows for n in _numbers(row.parameters, row.gmac)]
    table.add_row('total', '', '', *sums)
    return table


def totals_table(parts: list[Part], pose: Description) -> Table:
    """Add up what runs on the vehicle, and what training adds."""
    table = _table('Totals', 'network')
    _number_columns(table, 'parameters', 'GMAC')
    can_fold = any(part.folded is not None for part in parts)
    if can_fold:
        _number_columns(table, 'parameters\nfolded', 'GMAC\nfolded')

    def add(name: str, plain: list[Description], folded: list[Description]) -> None:
        columns = [plain, folded] if can_fold else [plain]
        numbers = (_numbers(sum(d.parameters for d in c), sum(d.gmac for d in c)) for c in columns)
        table.add_row(name, *(number for pair in numbers for number in pair))

    for name, plain, folded in parts:
        add(name, [plain], [folded or plain])
        inner = [c for c in COMPONENTS if plain.within(c).layers]
        for component in inner if len(inner) > 1 else []:
            within = (folded or plain).within(component)
            add(f'  {component}', [plain.within(component)], [within])
    table.add_section()
    add('on the vehicle', [p.plain for p in parts], [p.folded or p.plain for p in parts])
    add('pose network, in training', [pose], [pose])
    return table


def guidance_table(config: DepthNetworkConfig, levels: tuple[GuidedLevel, ...]) -> Table:
    """Say which semantic map guides which level of the decoder."""
    table = _table(
        f'Guidance: {config.guidance}, {config.guidance_channels} guidance features per level',
        'level',
        'features guided',
        'by the semantic map',
    )
    _number_columns(table, 'upsampled', 'guidance sees')
    if config.guidance == 'pac':
        _number_columns(table, 'a step spans')
    for level in levels:
        numbers = [
            f'x {level.upsampling:g}',
            'not known' if level.sees_px is None else f'{level.sees_px} px',
        ]
        if level.window_px is not None:
            numbers.append(f'{level.window_px} px')
        table.add_row(
            f'stride {level.stride}',
            ' x '.join(map(str, level.shape)),
            f'stride {level.map_stride}, {level.map_channels} channels',
            *numbers,
        )
    return table


def guidance_notes(config: DepthNetworkConfig, levels: tuple[GuidedLevel, ...]) -> str:
    """Explain the table of guidance."""
    notes = [
        'guidance sees: theoretical receptive field, in the image, of what guides a pixel, by the '
        'convolutions of the\nsemantic network and of the guidance features; the statistics of '
        'norms see the whole image and are left out'
    ]
    if any(level.sees_px is None for level in levels):
        notes.append('not known: the layers of an exported program are not looked into')
    if config.guidance == 'pac':
        notes.append(
            'a step spans: how much of the image one pixel-adaptive convolution compares; '
            f'sigma starts at {config.guidance_channels**0.5:.3g}'
        )
    return '\n'.join(notes)


def _semantic_network(
    file: str | None, config: DepthNetworkConfig
) -> tuple[SemanticNetwork | None, str]:
    """Return the configured network, or one that stands in for it, and what to say of that."""
    if file is not None and Path(file).exists():
        return load_semantic_network(Path(file)), ''
    if file is None and not config.is_guided:
        return None, ''
    with torch.device('meta'):
        stand_in = SegmentationNetwork(SegmentationConfig()).freeze()
    missing = 'no --model.segmentation is given' if file is None else f'{file} does not exist'
    return stand_in, f'\n(stands in: {missing})'


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify='left', title_style='bold', box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _number_columns(table: Table, *columns: str) -> None:
    for column in columns:
        table.add_column(column, justify='right', no_wrap=True)


def _numbers(parameters: int, gmac: float) -> tuple[str, str]:
    return f'{parameters:,}', f'{gmac:.3f}'


def _verb(arguments: list[str]) -> Verb:
    """Look up whose options these are, which decides how the rest is read."""
    parser = argparse.ArgumentParser(prog=PROGRAM, add_help=False, allow_abbrev=False)
    parser.add_argument('--verb', choices=('train', 'segment'), default='train')
    verb: Verb = parser.parse_known_args(arguments)[0].verb
    return verb


def _parse(arguments: list[str], verb: Verb) -> RunCLI:
    given: dict[str, Any] = {
        'arguments': arguments,
        'out': Path('runs/describe'),
        'program': PROGRAM,
        'description': DESCRIPTION,
        'link': _options,
    }
    if verb == 'segment':
        return DescribeCLI(SegmentationModule, SegmentationData, **given)
    try:
        return DescribeCLI(DepthModule, DepthData, **given)
    except UserError as error:
        raise UserError(f'{error}; a configuration of segment needs --verb segment') from error


def _options(parser: LightningArgumentParser) -> None:
    parser.add_argument(
        '--verb', type=Verb, default='train', help='Whose options and configuration these are.'
    )
    parser.add_argument('--height', type=int, default=HEIGHT_PX, help='Of the image, in pixels.')
    parser.add_argument('--width', type=int, default=WIDTH_PX, help='Of the image, in pixels.')
    # Required where training looks into it, which is not done here.
    parser.set_defaults({'data.root': 'any'})
