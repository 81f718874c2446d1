"""The report page of ``replay_bag``."""

from collections.abc import Sequence
from dataclasses import dataclass

from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.gallery import Shelf
from sg_depth_ros.evaluation.page import evaluation_sections
from sg_depth_ros.evaluation.page import how_it_was_made
from sg_depth_ros.replay.live.limits import Limit as SetLimit
from sg_depth_ros.replay.live.limits import LimitCheck
from sg_depth_ros.replay.live.modes import EXPLANATIONS
from sg_depth_ros.replay.live.modes import Mode
from sg_depth_ros.replay.live.run_result import RunResult
from sg_depth_ros.replay.live.tables import check_table
from sg_depth_ros.replay.live.tables import depth_table
from sg_depth_ros.replay.live.tables import run_cautions
from sg_depth_ros.replay.live.tables import run_table
from sg_depth_ros.replay.live.verdict import Check
from sg_depth_ros.report.figures import Limit
from sg_depth_ros.report.figures import Series
from sg_depth_ros.report.figures import histogram_figure
from sg_depth_ros.report.figures import line_figure
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Figure
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import Tiles

_LATENCY_WORDS: dict[Mode, str] = {
    'lock step': 'Latency of each image, with nothing waiting: what transport and work take. Low '
    'and level is good.',
    'recorded speed': 'Latency of each image: low and level is good; a rise means that work piles '
    'up.',
    'full speed': 'Latency of each image, mostly waiting: level means that the node keeps its '
    'rate.',
}


@dataclass(frozen=True, eq=False)
class Replay:
    """All that a replay found out."""

    runs: tuple[RunResult, ...]  # at least one
    checks: tuple[Check, ...]
    limits: tuple[LimitCheck, ...]
    shelves: tuple[Shelf, ...]  # of the first run's frames
    views: dict[FrameKey, FrameView]
    note: DriveNote
    engine: str

    @property
    def failures(self) -> tuple[str, ...]:
        """What failed, each with its run; empty: passed."""
        return tuple(sentence for check in self.checks for sentence in check.sentences())

    @property
    def passed(self) -> bool:
        """Whether every output came as promised and within the limits."""
        return not self.failures


def replay_report(replay: Replay, *, bag: str, model: str, command: str) -> Report:
    """Put the page together; names of bag and model as the user gave them."""
    first = replay.runs[0]
    sections = [
        Section('Result', _result_blocks(replay)),
        Section('Checks', (check_table(replay.checks),)),
        Section('Runs', (run_table(replay.runs), depth_table(replay.runs))),
    ]
    sections += [_run_section(run, replay.limits) for run in replay.runs]
    judged = (first.findings,)
    if first.findings.frames:
        depth = evaluation_sections(judged, replay.shelves, (replay.views,), drives=(replay.note,))
        # The page has a result of its own.
        sections.append(Section(f'Depth as published in {first.mode}', depth[0].blocks))
        sections += depth[1:]
    about = how_it_was_made(judged, command, drives=(replay.note,))
    sections.append(Section('How this was made', (Text(f'Engine: {replay.engine}.'), *about)))
    return Report(
        title=f'Replay of {bag.rstrip("/").rpartition("/")[2]}',
        subtitle=f'Played through real publishers into the running node with {model}',
        sections=tuple(sections),
    )


def _result_blocks(replay: Replay) -> tuple[Block, ...]:
    failed = sum(bool(check.failures) for check in replay.checks)
    tiles = [
        Tile(
            'Verdict',
            'pass' if replay.passed else 'fail',
            f'{failed} of {len(replay.checks)} checks failed'
            if failed
            else f'{len(replay.checks)} checks',
            'good' if replay.passed else 'bad',
        )
    ]
    tiles += (tile for run in replay.runs for tile in _run_tiles(run, replay.limits))
    summary = replay.runs[0].findings.summary
    if summary.unscaled is not None and summary.median_scaled is not None:
        tiles.append(
            Tile(
                'AbsRel',
                f'{summary.unscaled.abs_rel:.3f}',
                f'{summary.median_scaled.abs_rel:.3f} median-scaled',
            )
        )
    cautions = (*replay.failures, *run_cautions(replay.runs))
    return (Tiles(tuple(tiles)), *(Caution(text) for text in cautions))


def _run_tiles(run: RunResult, limits: Sequence[LimitCheck]) -> list[Tile]:
    """Return the numbers by which a run is known."""
    timing = run.timing
    images = Tile(
        'Depth images',
        f'{run.depth_images} of {run.frames_in}',
        run.mode,
        'plain' if run.depth_images else 'bad',
    )
    if timing.latency is None:
        return [images]
    if run.mode == 'full speed':
        return [images, Tile('Rate', f'{timing.output_rate_hz or 0:.1f} Hz', run.mode)]
    own = [c for c in limits if c.mode == run.mode and c.limit.kind.what == 'latency p95']
    latency = Tile(
        'Latency',
        f'{timing.latency.p95:.0f} ms',
        f'{run.mode}, p95; p50 {timing.latency.p50:.0f} ms'
        + ''.join(f'; limit {c.limit.value:g} ms' for c in own),
        'plain' if not own else 'good' if all(c.passed for c in own) else 'bad',
    )
    if run.mode == 'lock step' or run.usage is None:
        return [images, latency]
    usage = Tile(
        'CPU of the node',
        f'{run.usage.cpu_cores:.2f} cores',
        f'{run.mode}; memory {run.usage.memory_peak_mb:.0f} MB',
    )
    return [images, latency, usage]


def _run_section(run: RunResult, limits: Sequence[LimitCheck]) -> Section:
    blocks: list[Block] = [Text(EXPLANATIONS[run.mode])]
    timing = run.timing
    measured = [v for v in timing.latencies_ms if v == v]
    if len(measured) > 1:
        lines = [_line(c.limit) for c in limits if c.mode == run.mode and _is_latency(c.limit)]
        if timing.stale_after_ms is not None:
            lines.append(Limit(f'stale, {timing.stale_after_ms:.0f} ms', timing.stale_after_ms))
        over_time = line_figure(
            timing.sent_s,
            [Series('latency', timing.latencies_ms)],
            x_label=f'time since the first image (s), {run.mode}',
            y_label='latency (ms)',
            limits=lines,
        )
        missed = timing.missed_frames
        gaps = f' Gaps are the {missed} images without depth.' if missed else ''
        blocks.append(Figure(over_time, f'{_LATENCY_WORDS[run.mode]}{gaps}'))
    if len(measured) > 1 and run.mode != 'full speed':
        histogram = histogram_figure(
            measured, x_label=f'latency (ms), {run.mode}', y_label='images'
        )
        caption = (
            'How often each latency occurred: one narrow peak is good; a tail to the right are '
            'the images that a planner waits for.'
        )
        blocks.append(Figure(histogram, caption))
    return Section(run.mode.capitalize(), tuple(blocks))


def _is_latency(limit: SetLimit) -> bool:
    return limit.kind.what.startswith('latency')


def _line(limit: SetLimit) -> Limit:
    name = limit.kind.what.removeprefix('latency ')
    return Limit(f'limit of {name}, {limit.value:g} ms', limit.value)
