"""The files of a replay, and what it prints."""

import csv
import io
from pathlib import Path
from typing import Any

from rich.console import Console

from sg_depth_ros.evaluation.files import FRAMES_NAME
from sg_depth_ros.evaluation.files import METRICS_NAME
from sg_depth_ros.evaluation.files import write_frames
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.printing import terminal_table
from sg_depth_ros.output import write_json
from sg_depth_ros.output import write_picture
from sg_depth_ros.output import write_text_atomically
from sg_depth_ros.replay.live.junit import write_junit
from sg_depth_ros.replay.live.page import Replay
from sg_depth_ros.replay.live.page import replay_report
from sg_depth_ros.replay.live.run_result import RunResult
from sg_depth_ros.replay.live.tables import depth_table
from sg_depth_ros.replay.live.tables import run_cautions
from sg_depth_ros.replay.live.tables import run_table
from sg_depth_ros.report.page import write_report
from sg_depth_ros.report.pictures import picture_strip

REPORT_NAME, JUNIT_NAME, TIMING_NAME = 'report.html', 'junit.xml', 'timing.csv'
STRIP_NAME, LOG_NAME = 'strip.png', 'node.log'
RESULT_NAMES = (
    METRICS_NAME,
    FRAMES_NAME,
    REPORT_NAME,
    JUNIT_NAME,
    TIMING_NAME,
    STRIP_NAME,
    LOG_NAME,
)


def forget_results(out: Path) -> None:
    """Remove the results of an earlier replay: where this one fails, they must not stand there."""
    for name in RESULT_NAMES:
        (out / name).unlink(missing_ok=True)


def write_results(
    replay: Replay, middle: FrameKey | None, out: Path, *, bag: str, model: str, command: str
) -> None:
    """
    Write all files but the node's log.

    :param middle: the frame of ``strip.png``.
    """
    write_report(replay_report(replay, bag=bag, model=model, command=command), out / REPORT_NAME)
    if middle is not None:
        shown = replay.views[middle].prediction
        strip = picture_strip(shown.image, shown.labels, shown.depth_m, shown.camera)
        write_picture(strip, out / STRIP_NAME)
    write_frames(tuple(run.findings for run in replay.runs), out)
    _write_timing(replay.runs, out / TIMING_NAME)
    write_junit(replay.checks, out / JUNIT_NAME)
    # The last one: who finds it finds all.
    write_json(metrics_document(replay), out / METRICS_NAME)


def metrics_document(replay: Replay) -> dict[str, Any]:
    """
    Return what ``metrics.json`` holds.

    The depth at the top is that of the first run; each run's own stands under ``runs``.
    """
    document = {
        'passed': replay.passed,
        'failures': list(replay.failures),
        'limits': [check.to_json() for check in replay.limits],
        'runs': {run.key: run.to_json() for run in replay.runs},
        **replay.runs[0].findings.to_json(),
    }
    if replay.note.caution and document.get('ground_truth') is None:
        document['why'] = replay.note.caution
    return document


def print_replay(replay: Replay, out: Path, console: Console) -> None:
    """Print the tables, what a reader must know, and the verdict."""
    console.print(terminal_table(run_table(replay.runs)))
    console.print(terminal_table(depth_table(replay.runs)))
    cautions = (*run_cautions(replay.runs), *filter(None, [replay.note.caution]))
    for caution in cautions:
        console.print(caution, style='yellow', highlight=False, markup=False)
    for failure in replay.failures:
        console.print(f'failed: {failure}', style='red', highlight=False, markup=False)
    print('passed' if replay.passed else 'failed')
    print(f'report: {out / REPORT_NAME}')


def _write_timing(runs: tuple[RunResult, ...], path: Path) -> None:
    """Write one line per run and image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(('run', 'image', 'sent_s', 'latency_ms'))
    for run in runs:
        timing = run.timing
        for number, (sent_s, latency_ms) in enumerate(zip(timing.sent_s, timing.latencies_ms)):
            latency = f'{latency_ms:.3f}' if latency_ms == latency_ms else ''
            writer.writerow((run.mode, number, f'{sent_s:.6f}', latency))
    write_text_atomically(text.getvalue(), path)
