"""The report page of ``replay_bag``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.replay.check import RunResult
from sg_depth_ros.replay.evaluation_page import gallery_sections
from sg_depth_ros.replay.evaluation_page import over_drive
from sg_depth_ros.replay.evaluation_page import recording_table
from sg_depth_ros.replay.judging import JudgedDrive
from sg_depth_ros.replay.judging import drive_cautions
from sg_depth_ros.replay.metric_blocks import infinite_depth_tile
from sg_depth_ros.replay.metric_blocks import metric_blocks
from sg_depth_ros.replay.metric_blocks import metric_tiles
from sg_depth_ros.replay.metric_blocks import model_table
from sg_depth_ros.replay.recorded_drive import RecordedCamera
from sg_depth_ros.report.figures import Limit
from sg_depth_ros.report.figures import Series
from sg_depth_ros.report.figures import histogram_figure
from sg_depth_ros.report.figures import line_figure
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Cell
from sg_depth_ros.report.page import Command
from sg_depth_ros.report.page import Figure
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import Tiles

NOTABLE_SHARE = 0.05  # of the images left out at recorded speed


@dataclass(frozen=True, eq=False)
class Replay:
    """All that a replay found out."""

    runs: tuple[RunResult, ...]  # at least one; the first is the one whose depth is judged
    drive: JudgedDrive
    camera: RecordedCamera
    contract: ModelContract
    engine: str
    failures: tuple[str, ...]  # empty: passed
    max_latency_p95_ms: float | None

    @property
    def passed(self) -> bool:
        """Whether every output came as promised and within the limits."""
        return not self.failures


def replay_report(replay: Replay, *, bag: str, model: Path, command: str) -> Report:
    """Put the page together; names of bag and model as the user gave them."""
    sections = [Section('Result', _result_blocks(replay))]
    sections += [_run_section(run, replay.max_latency_p95_ms) for run in replay.runs]
    drive = replay.drive
    if drive.summary.unscaled is not None:
        blocks = metric_blocks(drive.summary, drive.truth.source)
        sections.append(Section('Depth as published', blocks))
    sections.append(Section('Over the drive', over_drive(drive)))
    sections += gallery_sections(drive)
    about = (
        model_table(replay.contract, str(model), replay.engine),
        recording_table(replay.camera, bag, replay.contract),
        Command(command),
    )
    sections.append(Section('How this was made', about))
    return Report(
        title=f'Replay of {bag.rstrip("/").rpartition("/")[2]}',
        subtitle=f'Played through real publishers into the running node with {model}',
        sections=tuple(sections),
    )


def _result_blocks(replay: Replay) -> tuple[Block, ...]:
    first = replay.runs[0]
    tiles = [
        Tile(
            'Verdict',
            'pass' if replay.passed else 'fail',
            'see below' if replay.failures else 'outputs and limits',
            'good' if replay.passed else 'bad',
        ),
        Tile('Images in', str(first.frames_in), first.mode),
        Tile(
            'Depth images',
            str(first.depth_images),
            f'{first.camera_infos} camera_infos, {first.clouds} clouds',
        ),
    ]
    tiles += [_latency_tile(run, replay.max_latency_p95_ms) for run in replay.runs]
    tiles += metric_tiles(replay.drive.summary)
    tiles.append(infinite_depth_tile(replay.drive.infinite_depth))
    cautions = (
        *replay.failures,
        *slow_cautions(replay.runs),
        *drive_cautions(replay.drive, replay.contract),
    )
    return (
        Tiles(tuple(tiles)),
        *(Caution(text) for text in cautions),
        run_table(replay.runs),
    )


def slow_cautions(runs: Sequence[RunResult]) -> tuple[str, ...]:
    """Say where the node could not keep up with the camera, which is no failure by itself."""
    return tuple(
        f'{run.mode}: {run.missed_frames} of {run.frames_in} images gave no depth; newer ones '
        'took their place while the node was busy'
        for run in runs
        if run.missed_frames > NOTABLE_SHARE * run.frames_in and not run.problems
    )


def _latency_tile(run: RunResult, limit_ms: float | None) -> Tile:
    if run.latency is None:
        return Tile('Latency', 'none', f'{run.mode}: no output', 'bad')
    value, note = f'{run.latency.p95:.0f} ms', f'{run.mode}, p95; p50 {run.latency.p50:.0f} ms'
    if limit_ms is None:
        return Tile('Latency', value, note)
    return Tile(
        'Latency',
        value,
        f'{note}; limit {limit_ms:g} ms',
        'good' if run.latency.p95 <= limit_ms else 'bad',
    )


def run_table(runs: Sequence[RunResult]) -> Table:
    """Return what came back in each run, and how soon."""
    columns = ('', *(run.mode for run in runs))
    rows: list[tuple[Cell, ...]] = [
        ('images in', *(run.frames_in for run in runs)),
        ('depth images out', *(run.depth_images for run in runs)),
        ('camera_infos out', *(run.camera_infos for run in runs)),
        ('clouds out', *(run.clouds for run in runs)),
        ('images without depth', *(run.missed_frames for run in runs)),
        ('images in, Hz', *(run.input_rate_hz for run in runs)),
        ('depth images out, Hz', *(run.output_rate_hz for run in runs)),
    ]
    rows += [
        (f'latency {name}, ms', *(_latency(run, name) for run in runs))
        for name in ('p50', 'p95', 'p99', 'max')
    ]
    return Table(
        columns,
        tuple(rows),
        'Latency: from publishing an image to receiving its depth image, in the player.',
        decimals=1,
    )


def _latency(run: RunResult, name: str) -> float | None:
    return None if run.latency is None else float(getattr(run.latency, name))


_EXPLANATIONS = {
    'lock step': 'Each image was published when all outputs of the one before had come, with '
    'processing_mode every: exactly one depth image, camera_info and cloud are due for each.',
    'recorded speed': 'Images were published in the rhythm in which they were recorded, with '
    'processing_mode latest: when the network is slower than the camera, images are left out '
    'so that the depth stays fresh.',
}


def _run_section(run: RunResult, limit_ms: float | None) -> Section:
    blocks: list[Block] = [Text(_EXPLANATIONS[run.mode])]
    measured = [v for v in run.latencies_ms if v == v]
    if len(measured) > 1:
        limits = () if limit_ms is None else (Limit('limit of p95', limit_ms),)
        over_time = line_figure(
            range(len(run.latencies_ms)),
            [Series('latency', run.latencies_ms)],
            x_label=f'image ({run.mode})',
            y_label='latency (ms)',
            limits=limits,
        )
        missed = f' Gaps are the {run.missed_frames} images left out.' if run.missed_frames else ''
        blocks.append(Figure(over_time, f'Latency of each image.{missed}'))
        histogram = histogram_figure(
            measured, x_label=f'latency (ms, {run.mode})', y_label='images'
        )
        blocks.append(Figure(histogram, 'How often each latency occurred.'))
    return Section(run.mode.capitalize(), tuple(blocks))
