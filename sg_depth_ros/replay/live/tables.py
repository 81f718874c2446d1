"""What a replay found out, as tables: the same ones on the terminal and on the page."""

from collections.abc import Sequence

from sg_depth_ros.replay.live.run_result import RunResult
from sg_depth_ros.replay.live.timing import Jitter
from sg_depth_ros.replay.live.timing import Latency
from sg_depth_ros.replay.live.usage import Usage
from sg_depth_ros.replay.live.verdict import Check
from sg_depth_ros.report.page import Cell
from sg_depth_ros.report.page import Table

NOTABLE_SHARE = 0.05  # of the images left out at recorded speed
NOTABLE_LATENESS = 0.25  # of the interval of two images: the player itself was that late


def run_table(runs: Sequence[RunResult]) -> Table:
    """Return what came back in each run, how soon, and what it took."""
    timings = [run.timing for run in runs]
    rows: list[tuple[Cell, ...]] = [
        ('images in', *(run.frames_in for run in runs)),
        ('depth images out', *(run.depth_images for run in runs)),
        ('camera_infos out', *(run.camera_infos for run in runs)),
        ('clouds out', *(run.clouds for run in runs)),
        ('masks out', *(run.masks for run in runs)),
        ('images without depth', *(t.missed_frames for t in timings)),
        ('images that the node received', *(run.node.frames_received for run in runs)),
        ('dropped by the node for newer ones', *(run.node.frames_dropped for run in runs)),
        ('depth images that came stale', *(t.stale_frames for t in timings)),
        ('images in, Hz', *(t.input_rate_hz for t in timings)),
        ('depth images out, Hz', *(t.output_rate_hz for t in timings)),
    ]
    rows += [
        (f'latency {name}, ms', *(_part(t.latency, name) for t in timings))
        for name in ('p50', 'p95', 'p99', 'max')
    ]
    rows += [
        ('jitter std, ms', *(_part(t.jitter, 'std') for t in timings)),
        ('jitter p99, ms', *(_part(t.jitter, 'p99') for t in timings)),
        ('work in the node p50, ms', *(run.node.processing_p50_ms for run in runs)),
        ('of it the network, ms', *(run.node.inference_p50_ms for run in runs)),
        ('CPU of the node, cores', *(_part(run.usage, 'cpu_cores') for run in runs)),
        ('memory of the node, MB', *(_part(run.usage, 'memory_mb') for run in runs)),
        ('its peak, MB', *(_part(run.usage, 'memory_peak_mb') for run in runs)),
        ('its growth, MB', *(_part(run.usage, 'memory_growth_mb') for run in runs)),
    ]
    caption = (
        'Latency: from publishing an image to receiving its depth image, in the player. Jitter: '
        'how much the interval of two depth images differs from that of their images. '
        f'{_stale_words(runs)}Work: as the node tells it, over its last ten seconds. Memory: '
        'resident; growth from the second quarter of the run to the last.'
    )
    return Table(('', *(run.mode for run in runs)), tuple(rows), caption, decimals=2)


def depth_table(runs: Sequence[RunResult]) -> Table:
    """Return how good the depth of each run was."""
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        summary, errors = run.findings.summary, run.errors
        rows.append(
            (
                run.mode,
                len(run.findings.frames),
                summary.images,
                *((None,) * 3 if errors is None else (errors.abs_rel, errors.rmse, errors.a1)),
                summary.scale_ratio_median,
                run.findings.infinite_depth().frames,
                run.findings.standing().total.missing_share,
            )
        )
    columns = (
        'run',
        'depth images',
        'with truth',
        'AbsRel',
        'RMSE',
        'a1',
        'scale ratio',
        'with infinite depth',
        'vehicles missing',
    )
    caption = (
        f'Depth as it was published in each run, {runs[0].findings.scaling}. At recorded speed '
        'these are the images for which the node had time.'
    )
    return Table(columns, tuple(rows), caption)


def check_table(checks: Sequence[Check]) -> Table:
    """Return everything that was promised, and what was found in each run."""
    modes = tuple(dict.fromkeys(check.mode for check in checks))
    found = {(check.promise, check.mode): _outcome(check) for check in checks}
    promises = dict.fromkeys(check.promise for check in checks)
    rows = tuple((promise, *(found.get((promise, m), '') for m in modes)) for promise in promises)
    caption = (
        '✓ held, ✗ failed. At recorded speed an image may be left out while the node is busy; in '
        'the other runs each must give everything exactly once. Right: stamp and frame of the '
        'image, a camera_info that fits depth and recording, each point of the cloud its '
        "pixel's ray times its depth, classes that the model has."
    )
    return Table(('promise', *modes), rows, caption)


def run_cautions(runs: Sequence[RunResult]) -> tuple[str, ...]:
    """Say where bag, node or player did not keep up, which is no failure by itself."""
    cautions = []
    for run in runs:
        timing = run.timing
        if run.broken_off:
            cautions.append(
                f'{run.mode}: the recording breaks off behind image {run.frames_in}; what there '
                f'is was played. {run.broken_off}'
            )
        if timing.stale_after_ms is None:  # no camera's rhythm
            continue
        if timing.missed_frames > NOTABLE_SHARE * run.frames_in:
            cautions.append(f'{run.mode}: {_missed_words(run)}')
        rate_hz = timing.input_rate_hz
        if rate_hz is not None and timing.player_late_ms > NOTABLE_LATENESS * 1e3 / rate_hz:
            cautions.append(
                f'{run.mode}: the player itself was up to {timing.player_late_ms:.0f} ms late '
                '(p95), so this machine is too busy, or its disk too slow, for a camera of '
                f'{rate_hz:.3g} Hz; the measured times are not those of a vehicle.'
            )
    return tuple(cautions)


def _missed_words(run: RunResult) -> str:
    """Say how many images gave no depth, and where they were lost as far as the node tells."""
    words = f'{run.timing.missed_frames} of {run.frames_in} images gave no depth'
    dropped, received = run.node.frames_dropped, run.node.frames_received
    if dropped is None or received is None:
        return f'{words}; the node needs longer than the camera.'
    words += f', {dropped:.0f} of them for a newer one'
    not_received = run.frames_in - received
    if not_received <= NOTABLE_SHARE * run.frames_in:
        return f'{words}; the node needs longer than the camera.'
    return (
        f'{words}; {not_received:.0f} did not reach the node, so that not only its speed but '
        'the transport of images matters.'
    )


def _outcome(check: Check) -> str:
    return f'{"✗" if check.failures else "✓"} {check.found}'


def _part(measured: Latency | Jitter | Usage | None, name: str) -> float | None:
    value: float | None = None if measured is None else getattr(measured, name)
    return value


def _stale_words(runs: Sequence[RunResult]) -> str:
    after_ms = {run.timing.stale_after_ms for run in runs} - {None}
    return ''.join(f'Stale: later than {value:.0f} ms. ' for value in after_ms)
