"""
Frames per second of preparing a recording, against doing one step after the other.

    python -m benchmarks.prepare [RECORDING] [--width W] [--height H] [--figures FILE]

The wall clock counts, so let the machine be idle; the work itself is the same. Without a recording
a synthetic drive is made, at 640x192.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import add_figures_option
from benchmarks.figures import more_is_better
from benchmarks.figures import write_figures
from sg_depth_ros.camera import resize_image
from sg_depth_ros.camera import resize_labels
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import lidar_path
from training.data.drive import write_frame
from training.data.drive import write_labels
from training.data.drive import write_lidar
from training.data.preparation.frames import one_cv2_thread
from training.data.preparation.frames import write_frames
from training.data.preparation.prepare import network_size
from training.data.preparation.static_frames import flow_image
from training.data.preparation.static_frames import median_flow_px
from training.data.sources import Source
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.data.synthetic.recording import Recipe
from training.data.synthetic.recording import record

REPEATS = 5


def one_after_the_other(source: Source, folder: Path, size: tuple[int, int]) -> None:
    """Decode, resize, encode and write in one thread."""
    for subfolder in ('frames', 'labels', 'lidar'):
        (folder / subfolder).mkdir()
    motion_known = any(f.speed_m_s is not None or f.T_world_camera for f in source.frames)
    before = None
    for index, content in enumerate(source.read()):
        write_frame(resize_image(content.image, *size), frame_path(folder, index))
        if content.labels is not None:
            write_labels(resize_labels(content.labels, *size), labels_path(folder, index))
        if content.lidar_m is not None:
            write_lidar(content.lidar_m, lidar_path(folder, index))
        if not motion_known:
            after = flow_image(content.image)
            if before is not None:
                median_flow_px(before, after)
            before = after


def prepared(source: Source, folder: Path, size: tuple[int, int]) -> None:
    """Do as ``prepare`` does."""
    for _ in write_frames(source, folder, size, ()):
        pass


def seconds(
    form: Callable[[Source, Path, tuple[int, int]], None], source: Source, size: tuple[int, int]
) -> tuple[float, float]:
    """Return the wall clock and CPU seconds of one drive."""
    with tempfile.TemporaryDirectory() as folder:
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        form(source, Path(folder), size)
        return time.perf_counter() - started_s, time.process_time() - started_cpu_s


def main() -> None:
    """Print the better of several runs of each, taken in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('recording', type=Path, nargs='?', help='default: a synthetic drive')
    parser.add_argument('--width', type=int)
    parser.add_argument('--height', type=int)
    add_figures_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = options.recording
        if recording is None:
            recipe = Recipe(seconds=3.0, width=640, height=192)
            recording = record(recipe, Path(folder, 'drive'), lambda: None).folder
        compare(recording, options)


def compare(recording: Path, options: argparse.Namespace) -> None:
    source = open_source(recording, SourceOptions())
    size = network_size(source.intrinsics, options.width, options.height)
    frames = len(source.frames)
    forms = (('one after the other', one_after_the_other), ('prepare', prepared))
    with one_cv2_thread():
        rounds = [[seconds(form, source, size) for _, form in forms] for _ in range(REPEATS)]
    wall_s, cpu_s = zip(*(map(min, zip(*column)) for column in zip(*rounds)))
    print(f'{source.description}: {frames} frames to {size[0]}x{size[1]}')
    for (name, _), wall, cpu in zip(forms, wall_s, cpu_s):
        print(f'{name:<22}{frames / wall:8.1f} frames/s{1e3 * cpu / frames:8.1f} CPU ms per frame')
    print(f'{"ratio":<22}{wall_s[0] / wall_s[1]:8.2f}')
    plain, ours = (frames / wall for wall in wall_s)
    name = f'preparing at {size[0]}x{size[1]}'
    figure = more_is_better(name, ours, 'frames/s', 'one after the other', plain)
    write_figures([figure], options.figures)


if __name__ == '__main__':
    main()
