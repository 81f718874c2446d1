"""What the demo found out: read back from its parts, on the terminal and as one page."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import NamedTuple

from rich.console import Console
from rich.table import Table as TerminalTable

from sg_depth_ros.errors import UserError
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Cell
from sg_depth_ros.report.page import Command
from sg_depth_ros.report.page import Picture
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import Tiles
from sg_depth_ros.report.page import write_report
from training.data.drive import read_image

# Pictures of the parts, with what they show.
PICTURES = (
    ('strip.png', 'A frame as the node saw it: image, labels, depth, the cloud from above.'),
    ('segment/validation.png', 'Semantic network, held-out frames: image, labels, prediction.'),
    ('depth/resample.png', 'Resampling: where stage one saw infinite depth.'),
    ('evaluation/evaluation.png', 'Best and worst frames of the trained network.'),
)


class Step(NamedTuple):
    """One command of the demo."""

    name: str
    command: str
    seconds: float


class Judged(NamedTuple):
    """Depth against LiDAR, from a ``metrics.json``; without LiDAR, why there is nothing."""

    images: int
    unscaled: DepthMetrics | None
    median_scaled: DepthMetrics | None
    why: str


class Run(NamedTuple):
    """What the node did with the images in one way of playing them; latency None: no output."""

    mode: str
    frames_in: int
    depth_images: int
    camera_infos: int
    clouds: int
    p50_ms: float | None
    p95_ms: float | None


class Replayed(NamedTuple):
    """What the node did."""

    passed: bool
    failures: tuple[str, ...]
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class DemoResult:
    """All that the demo shows at its end."""

    name: str  # of the drive that was judged
    cautions: tuple[str, ...]
    trained: Judged  # the checkpoint, on the dataset
    exported: Judged  # model.onnx, on the bag
    published: Judged  # what the node sent
    replayed: Replayed
    steps: tuple[Step, ...]


def read_judged(path: Path) -> Judged:
    """
    Read the metrics of ``evaluate``, ``evaluate_bag`` or ``replay_bag``.

    :raises UserError: where the file is missing or damaged.
    """
    document = _read(path)
    if document.get('ground_truth') is None:
        return Judged(document['images'], None, None, document['why'])
    unscaled = DepthMetrics(**document['unscaled'])
    return Judged(document['images'], unscaled, DepthMetrics(**document['median_scaled']), '')


def read_replayed(path: Path) -> Replayed:
    """
    Read the counts and latencies of ``replay_bag``.

    :raises UserError: where the file is missing or damaged.
    """
    document = _read(path)
    runs = []
    for mode, run in document['runs'].items():
        latency = run['latency_ms'] or {'p50': None, 'p95': None}
        runs.append(
            Run(
                mode=mode.replace('_', ' '),
                frames_in=run['frames_in'],
                depth_images=run['depth_images'],
                camera_infos=run['camera_infos'],
                clouds=run['clouds'],
                p50_ms=latency['p50'],
                p95_ms=latency['p95'],
            )
        )
    return Replayed(document['passed'], tuple(document['failures']), tuple(runs))


def print_result(result: DemoResult, out: Path, console: Console) -> None:
    """Print the short tables and where everything lies."""
    console.rule('result', align='left')
    for columns, rows in (_metric_table(result.exported), _node_table(result.replayed)):
        if not rows:
            continue
        table = TerminalTable(*columns)
        for column in table.columns[1:]:
            column.justify = 'right'
        for row in rows:
            table.add_row(*(_text(cell) for cell in row))
        console.print(table)
    if result.exported.unscaled is None:
        console.print(result.exported.why, style='yellow', highlight=False)
    for caution in result.cautions:
        console.print(caution, style='yellow', highlight=False)
    for failure in result.replayed.failures:
        console.print(f'failed: {failure}', style='red', highlight=False, markup=False)
    minutes = sum(step.seconds for step in result.steps) / 60
    print(f'{result.name}, {minutes:.1f} minutes:')
    for name in ('report.html', 'model.onnx', 'strip.png'):
        print(f'  {out / name}')


def write_demo_report(result: DemoResult, out: Path) -> None:
    """Write ``report.html``: numbers, pictures, and the commands that made them."""
    pictures = tuple(
        Picture(read_image(out / name), caption)
        for name, caption in PICTURES
        if (out / name).exists()
    )
    details = ', '.join(f'{folder}/report.html' for folder in ('evaluate_bag', 'replay'))
    times = tuple((step.name, round(step.seconds, 1)) for step in result.steps)
    page = Report(
        title='Demo',
        subtitle=f'From recording to depth topics, on {result.name}',
        sections=(
            Section('Result', _result_blocks(result)),
            Section('Pictures', pictures),
            Section(
                'How this was made',
                (
                    Command('\n'.join(step.command for step in result.steps)),
                    Table(('step', 'seconds'), times),
                    Text(f'More of the model on the bag, frame by frame: {details}.'),
                ),
            ),
        ),
    )
    write_report(page, out / 'report.html')


def _result_blocks(result: DemoResult) -> tuple[Block, ...]:
    first = result.replayed.runs[0]
    tiles = [
        Tile(
            'Node',
            'pass' if result.replayed.passed else 'fail',
            f'{first.frames_in} images in, {first.depth_images} depth images, '
            f'{first.clouds} clouds out',
            'good' if result.replayed.passed else 'bad',
        )
    ]
    exported = result.exported
    if exported.unscaled is not None and exported.median_scaled is not None:
        u, s = exported.unscaled, exported.median_scaled
        tiles += [
            Tile('AbsRel', f'{u.abs_rel:.3f}', f'{s.abs_rel:.3f} median-scaled'),
            Tile('RMSE', f'{u.rmse:.2f} m', f'{s.rmse:.2f} m median-scaled'),
            Tile('a1', f'{u.a1:.3f}', f'{s.a1:.3f} median-scaled'),
        ]
    cautions = [*result.replayed.failures, *result.cautions]
    if exported.unscaled is None:
        cautions.insert(0, exported.why)
    blocks: list[Block] = [Tiles(tuple(tiles)), *(Caution(text) for text in cautions)]
    rows = [
        row
        for where, judged in (
            ('checkpoint, on the dataset', result.trained),
            ('model.onnx, on the bag', exported),
            ('as the node published it', result.published),
        )
        for row in _metric_rows(where, judged)
    ]
    if rows:
        head = ('depth of', 'images', 'scale', 'AbsRel', 'RMSE (m)', 'a1')
        blocks.append(Table(head, tuple(rows), 'Median-scaled hides errors of scale.'))
    caption = 'Latency: from publishing an image to receiving its depth image.'
    blocks.append(Table(*_node_table(result.replayed), caption))
    return tuple(blocks)


def _metric_rows(where: str, judged: Judged) -> list[tuple[Cell, ...]]:
    return [
        (where, judged.images, scale, metrics.abs_rel, metrics.rmse, metrics.a1)
        for scale, metrics in (
            ('unscaled', judged.unscaled),
            ('median-scaled', judged.median_scaled),
        )
        if metrics is not None
    ]


def _metric_table(judged: Judged) -> tuple[tuple[str, ...], tuple[tuple[Cell, ...], ...]]:
    columns = (f'depth of {judged.images} images', 'unscaled', 'median-scaled')
    u, s = judged.unscaled, judged.median_scaled
    if u is None or s is None:
        return columns, ()
    return columns, (
        ('AbsRel', u.abs_rel, s.abs_rel),
        ('RMSE (m)', u.rmse, s.rmse),
        ('a1', u.a1, s.a1),
    )


def _node_table(replayed: Replayed) -> tuple[tuple[str, ...], tuple[tuple[Cell, ...], ...]]:
    runs = replayed.runs
    return ('node', *(run.mode for run in runs)), (
        ('frames in', *(run.frames_in for run in runs)),
        ('depth images out', *(run.depth_images for run in runs)),
        ('camera_infos out', *(run.camera_infos for run in runs)),
        ('clouds out', *(run.clouds for run in runs)),
        ('latency p50 (ms)', *(_rounded(run.p50_ms) for run in runs)),
        ('latency p95 (ms)', *(_rounded(run.p95_ms) for run in runs)),
    )


def _rounded(value_ms: float | None) -> int | None:
    return None if value_ms is None else round(value_ms)


def _text(cell: Cell) -> str:
    if cell is None:
        return '-'
    return f'{cell:.3f}' if isinstance(cell, float) else str(cell)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f'{path}: no metrics can be read ({error})') from error
    if not isinstance(document, dict):
        raise UserError(f'{path}: holds no metrics')
    return document
