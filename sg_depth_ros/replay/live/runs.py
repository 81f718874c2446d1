"""All runs of a replay, one after the other, each in a node of its own."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.gallery import Shelf
from sg_depth_ros.evaluation.gallery import choose_frames
from sg_depth_ros.point_cloud import POINT_DTYPE
from sg_depth_ros.replay.live.modes import Mode
from sg_depth_ros.replay.live.recording import Recording
from sg_depth_ros.replay.live.run import ReplaySetting
from sg_depth_ros.replay.live.run import play
from sg_depth_ros.replay.live.run import run_result
from sg_depth_ros.replay.live.run_judge import RunJudge
from sg_depth_ros.replay.live.run_result import RunResult

SHOWN_FRAMES = 2  # of each kind: the worst, the best, ...
MOST_CLOUDS = 500  # of a run are kept to be compared with the depth, spread evenly
_DEPTH_AND_MASK_BYTES = 5  # per pixel


class Outcome(NamedTuple):
    """The runs, and pictures of the first one's frames."""

    runs: tuple[RunResult, ...]  # less than asked for, where the node died in the last of them
    shelves: tuple[Shelf, ...]
    views: dict[FrameKey, FrameView]
    middle: FrameKey | None  # of the drive; its view is there


def replay_all(
    modes: Sequence[Mode], setting: ReplaySetting, judge: RunJudge, out: Path, console: Console
) -> Outcome:
    """
    Play, check, measure and judge in every mode; after a run in which the node died, no more.

    :param out: what came is kept there until it is judged.
    :raises UserError: where a node cannot be played to, or the disk is too small.
    :raises NodeDiedError: where a node ended before its first image.
    """
    _check_space(setting, out)
    runs: list[RunResult] = []
    shelves: tuple[Shelf, ...] = ()
    views: dict[FrameKey, FrameView] = {}
    middle = None
    kept_every = -(-setting.camera.image_count // MOST_CLOUDS)
    for mode in modes:
        with Recording(out, kept_every) as recording:
            run = _replay_once(mode, setting, judge, recording, console)
            if not runs and run.findings.frames:
                shelves = choose_frames((run.findings,), SHOWN_FRAMES)
                middle = run.findings.frames[len(run.findings.frames) // 2].entry
                shown = {middle, *(entry for shelf in shelves for entry in shelf.entries)}
                views = judge.views(recording, run.findings, shown)
        runs.append(run)
        if run.died:
            break
    return Outcome(tuple(runs), shelves, views, middle)


def _replay_once(
    mode: Mode, setting: ReplaySetting, judge: RunJudge, recording: Recording, console: Console
) -> RunResult:
    started_s = time.monotonic()
    count = setting.camera.image_count
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        playing = progress.add_task(f'{mode}: starting the node', total=count)
        played = play(
            mode,
            setting,
            recording,
            on_ready=lambda: progress.update(playing, description=mode),
            on_image=lambda: progress.advance(playing),
        )
        judging = progress.add_task(f'{mode}: judging', total=len(recording.sent))
        findings: Findings = judge.judge(recording, mode, lambda: progress.advance(judging))
    if not console.is_terminal:
        seconds = time.monotonic() - started_s
        text = f'{mode}: {len(recording.sent)} of {count} images, {seconds:.0f} s'
        console.print(text, highlight=False)
    return run_result(mode, setting, recording, played, findings)


def _check_space(setting: ReplaySetting, out: Path) -> None:
    """
    Make sure that a run's outputs fit on the disk.

    :raises UserError: where they do not.
    """
    count, contract = setting.camera.image_count, setting.contract
    pixels = contract.width * contract.height
    clouds = min(count, MOST_CLOUDS)
    needed = pixels * (count * _DEPTH_AND_MASK_BYTES + clouds * POINT_DTYPE.itemsize)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise UserError(
            f'{out}: {needed / 1e9:.1f} GB are needed there for what {count} images give, and '
            f'{free / 1e9:.1f} GB are free; give another --out, or less images with --max-frames'
        )
