"""
Loading triplets: ours against the way the field does it, from the same images, on one core.

    python -m benchmarks.loader [--images FOLDER] [--size 640x192] [--workers N] [--samples N]
        [--figures FILE]

Ours: frames stored at network size as JPEG, decoded to uint8; colours are changed on the device.

Classic: frames at native size as PNG, decoded, resized to a pyramid of four scales, every frame
and scale with colour jitter, hue included, all as float32. Written with OpenCV, which is faster
than the pillow and torchvision that are usual there.

Without --images, textures of KITTI's native size are made whose files are as large as KITTI's.
"""

import argparse
import itertools
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torch.utils.data import Dataset

from benchmarks.figures import add_figures_option
from benchmarks.figures import more_is_better
from benchmarks.figures import write_figures
from sg_depth_ros.camera import Intrinsics
from training.data.datamodule import DepthData
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import frame_path
from training.data.drive import read_image
from training.data.drive import write_drive
from training.data.drive import write_frame
from training.data.jpeg import DECODER

NATIVE = (375, 1242)  # rows, columns
FRAMES = 48
SCALES = 4
WARM_UP_BATCHES = 5
JITTER = (0.2, 0.2, 0.2, 0.05)  # brightness, contrast, saturation, hue in turns
Image = NDArray[np.uint8]


class Speed(NamedTuple):
    """How fast a loader was."""

    per_second: float  # samples, by the clock
    per_core: float  # samples per second of CPU time, loader processes included


class ClassicTriplets(Dataset[dict[str, torch.Tensor]]):
    """Native-size PNGs, resized and jittered on the CPU."""

    def __init__(self, files: list[Path], width: int, height: int, samples: int) -> None:
        self.files = files
        self.width, self.height = width, height
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        random = np.random.default_rng(index)
        target = 1 + int(random.integers(len(self.files) - 2))
        mirrored = random.random() < 0.5
        item = {}
        for number, file in enumerate(self.files[target - 1 : target + 2]):
            image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
            image = cv2.flip(image, 1) if mirrored else image
            strengths = random.uniform(-1, 1, 4) * JITTER
            for scale in range(SCALES):
                size = self.width >> scale, self.height >> scale
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                item[f'color {number} {scale}'] = _as_float(image)
                item[f'jittered {number} {scale}'] = _as_float(_jitter(image, strengths))
        return item


def _jitter(image: Image, strengths: NDArray[np.float64]) -> Image:
    """Change brightness, contrast, saturation and hue of 8-bit RGB one after the other."""
    brightness, contrast, saturation, hue = strengths
    image = cv2.convertScaleAbs(image, alpha=1 + brightness)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mean = float(grey.mean())
    image = cv2.addWeighted(image, 1 + contrast, image, 0, -contrast * mean)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    image = cv2.addWeighted(image, 1 + saturation, grey, -saturation, 0)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(hue * 256) % 256)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8)


def _as_float(image: Image) -> torch.Tensor:
    return torch.from_numpy(np.float32(image.transpose(2, 0, 1)) / 255)


def textures() -> Iterator[Image]:
    """Make images with structure at every scale, as dense as photographs of streets."""
    random = np.random.default_rng(0)
    rows, columns = NATIVE
    for _ in range(FRAMES):
        image = np.full((rows, columns, 3), 128.0, np.float32)
        for octave in range(8):
            cells = max(2, rows >> octave), max(2, columns >> octave)
            # Colour is smoother than brightness.
            noise = random.standard_normal((*cells, 1)) + 0.3 * random.standard_normal((*cells, 3))
            smooth = cv2.resize(noise.astype(np.float32), (columns, rows), interpolation=1)
            image += smooth * np.float32(6.5 * 1.6**octave)
        yield np.clip(image, 0, 255).astype(np.uint8)


def native_images(folder: Path | None) -> Iterator[Image]:
    """Read a folder's first images, or make some."""
    if folder is None:
        return textures()
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in ('.png', '.jpg', '.jpeg'))
    if len(files) < 3:
        raise SystemExit(f'{folder}: fewer than three PNG or JPEG images')
    return map(read_image, files[:FRAMES])


def write_both(images: Iterator[Image], root: Path, width: int, height: int) -> list[Path]:
    """Write a dataset folder for ours and PNGs for the classic loader; return the PNGs."""
    drive = root / 'dataset' / 'drive'
    (drive / 'frames').mkdir(parents=True)
    files, frames = [], []
    for index, image in enumerate(images):
        files.append(root / f'{index:06d}.png')
        cv2.imwrite(str(files[-1]), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        write_frame(np.asarray(small, np.uint8), frame_path(drive, index))
        frames.append(Frame(index, index * 100_000_000, speed_m_s=10.0))
    camera = Intrinsics(width / 2, width / 2, width / 2, height / 2, width, height)
    write_drive(Drive('drive', 'benchmark', camera, camera, tuple(frames)), drive)
    return files


def cpu_s() -> float:
    """Return the CPU time of this process and of the loader processes that have ended."""
    usages = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(loader: DataLoader[object], samples: int) -> Speed:
    """Load some samples, over as many epochs as it takes; ends the loader's processes."""
    batches = (batch for _ in itertools.count() for batch in loader)
    for _ in range(WARM_UP_BATCHES):
        next(batches)
    started_s, started_cpu_s = time.perf_counter(), cpu_s()
    count = samples // (loader.batch_size or 1)
    for _ in range(count):
        next(batches)
    elapsed_s = time.perf_counter() - started_s
    batches.close()
    loader._iterator = None  # what is left of persistent loader processes
    return Speed(
        count * (loader.batch_size or 1) / elapsed_s,
        count * (loader.batch_size or 1) / (cpu_s() - started_cpu_s),
    )


def main() -> None:
    """Print a row per loader and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--images', type=Path, help='folder of native-size PNGs or JPEGs')
    parser.add_argument('--size', default='640x192', help='of the network, WIDTHxHEIGHT')
    parser.add_argument('--workers', type=int, default=0, help='loader processes, each')
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--samples', type=int, default=1200, help='ours; classic: a tenth')
    add_figures_option(parser)
    options = parser.parse_args()
    width, height = map(int, options.size.split('x'))
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        files = write_both(native_images(options.images), Path(folder), width, height)
        data = DepthData(f'{folder}/dataset', None, options.batch_size, options.workers)
        stored = sorted(Path(folder, 'dataset/drive/frames').iterdir())
        print(
            f'{len(files)} frames: {kilobytes(files)} KB as native PNG, {kilobytes(stored)} KB as '
            f'{width}x{height} JPEG; {options.workers} loader processes, decoder {DECODER}'
        )
        triplets = ClassicTriplets(files, width, height, options.samples)
        classic_loader = DataLoader(triplets, options.batch_size, num_workers=options.workers)
        classic = measure(classic_loader, options.samples // 10)
        ours = measure(data.train_dataloader(), options.samples)
    print(f'{"samples/s":<10}{"by the clock":>14}{"per core":>12}')
    for name, speed in (('classic', classic), ('ours', ours)):
        print(f'{name:<10}{speed.per_second:>14.1f}{speed.per_core:>12.1f}')
    by_clock = ours.per_second / classic.per_second
    print(f'{"ratio":<10}{by_clock:>14.1f}{ours.per_core / classic.per_core:>12.1f}')
    name, unit = f'triplets of {options.size}', 'samples/s per core'
    figure = more_is_better(name, ours.per_core, unit, 'classic', classic.per_core)
    write_figures([figure], options.figures)


def kilobytes(files: list[Path]) -> int:
    """Return the mean size of files."""
    return round(sum(file.stat().st_size for file in files) / len(files) / 1024)


if __name__ == '__main__':
    main()
