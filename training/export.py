"""
``python -m training export``: a checkpoint to ``model.onnx``, the only file the vehicle needs.

Nothing is written unless the exported file, opened as the vehicle opens it, says what the trained
network says.
"""

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn

from training.exporting.export_model import PRECISIONS
from training.exporting.export_model import ExportOptions
from training.exporting.export_model import PrecisionChoice
from training.exporting.export_model import export_model
from training.exporting.export_report import print_export
from training.exporting.onnx_graph import DEFAULT_OPSET
from training.exporting.onnx_graph import OPSETS


def main(arguments: list[str]) -> int:
    """Run the command."""
    given = _parser().parse_args(arguments)
    options = ExportOptions(
        dataset=given.data,
        precision=given.precision,
        width=given.width,
        height=given.height,
        opset=given.opset,
        metrics=given.metrics,
        fold_packing=given.fold_packing,
        force=given.force,
    )
    console = Console()
    with _progress(console, 3 + len(PRECISIONS[options.precision])) as show:
        export = export_model(given.checkpoint, given.out, options, show)
    print_export(export, console)
    if options.dataset is None:
        console.print(
            'The test images and the self-test are artificial; --data DATASET takes real frames.'
        )
    return 0


@contextmanager
def _progress(console: Console, steps: int) -> Iterator[Callable[[str], None]]:
    """Show the steps as a bar, or as a line each where there is no terminal."""
    if not console.is_terminal:
        yield lambda step: console.print(f'export: {step}')
        return
    columns = (TextColumn('export: {task.description}'), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task('start', total=steps, completed=-1)
        yield lambda step: bar.update(task, description=step, advance=1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training export',
        description='Write model.onnx, with its contract, from a depth checkpoint. The file is '
        'compared with the trained network first and only written where they agree.',
    )
    parser.add_argument('checkpoint', type=Path, metavar='CKPT', help='written by "train"')
    parser.add_argument('--out', type=Path, required=True, help='the model file to write')
    parser.add_argument(
        '--data',
        type=Path,
        metavar='DATASET',
        help='dataset folder whose frames serve as test images and as the self-test that the '
        'vehicle repeats; without it, artificial pictures',
    )
    parser.add_argument(
        '--metrics',
        type=Path,
        metavar='FILE',
        help='metrics.json of "evaluate", which the contract then states',
    )
    parser.add_argument(
        '--precision',
        choices=get_args(PrecisionChoice),
        default='fp32',
        help='fp16 computes in half precision what bears it: for TensorRT and GPUs, on CPUs it is '
        'no faster. both writes OUT in fp32 and, beside it, OUT with .fp16 in its name: a '
        'vehicle given that one falls back to OUT (default: fp32)',
    )
    parser.add_argument(
        '--force',
        action='store_true',
        help='write an fp16 file even where it does not agree with the network; its contract then '
        'says so',
    )
    parser.add_argument(
        '--width',
        type=int,
        metavar='PX',
        help='of the image, a multiple of 32 (default: as trained; where only --height is given, '
        'what keeps the aspect ratio best)',
    )
    parser.add_argument('--height', type=int, metavar='PX', help='likewise')
    parser.add_argument(
        '--opset',
        type=int,
        choices=OPSETS,
        default=DEFAULT_OPSET,
        help=f'version of the ONNX operators (default: {DEFAULT_OPSET}, which older readers take)',
    )
    parser.add_argument(
        '--fold-packing',
        action='store_true',
        help='fold the packings of a PackNet that pads before each convolution (imported weights) '
        'too: half the work, but another depth at the border. Those that pad once, as our own '
        'training does, are always folded: the depth stays the same',
    )
    return parser
