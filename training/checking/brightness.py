"""How bright, clipped and sharp the images are, and where brightness jumps."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.checking.finding import Finding
from training.checking.finding import Level
from training.checking.finding import frame_list
from training.checking.finding import percent
from training.checking.sampling import Sample
from training.checking.two_view import Array

DARK_GRAY, BRIGHT_GRAY = 25, 235  # of the mean
CLIPPED_DARK, CLIPPED_BRIGHT = 3, 252
MUCH_CLIPPED = 0.4
JUMP = 0.2  # of ln(median brightness) from a frame to the next
BLURRED = 0.35  # sharpness against the frames around
AROUND = 7  # frames
SOME_FRAMES, MANY_FRAMES = 0.02, 0.2


@dataclass(frozen=True, eq=False)
class Brightness:
    """Of every frame that was read."""

    frames: NDArray[np.int64]  # [N]
    mean: Array  # [N], 0..255
    clipped: Array  # [N], share of pixels that are black or white
    jump: Array  # [N], |ln ratio| of the median to the frame before; NaN without one
    blurred: NDArray[np.bool_]  # [N], much less sharp than the frames around

    @property
    def dark(self) -> NDArray[np.bool_]:
        """Return which frames show next to nothing for want of light."""
        return self.mean < DARK_GRAY

    @property
    def bright(self) -> NDArray[np.bool_]:
        """Return which frames show next to nothing for too much light."""
        return self.mean > BRIGHT_GRAY


def measure_brightness(sample: Sample) -> Brightness:
    """Measure every frame that was read."""
    frames: list[int] = []
    mean: list[float] = []
    clipped: list[float] = []
    jump: list[float] = []
    blurred: list[bool] = []
    for run in sample.runs:
        medians = [float(np.median(gray)) + 1.0 for gray in run.grays]
        sharpness = np.array([_sharpness(gray) for gray in run.grays])
        for number, gray in enumerate(run.grays):
            frames.append(run.first + number)
            mean.append(float(gray.mean()))
            clipped.append(float(((gray <= CLIPPED_DARK) | (gray >= CLIPPED_BRIGHT)).mean()))
            change = medians[number] / medians[number - 1] if number else float('nan')
            jump.append(abs(float(np.log(change))))
            around = sharpness[max(0, number - AROUND) : number + AROUND + 1]
            blurred.append(bool(sharpness[number] < BLURRED * np.median(around)))
    return Brightness(
        np.array(frames, np.int64),
        np.array(mean),
        np.array(clipped),
        np.array(jump),
        np.array(blurred, np.bool_),
    )


def judge_brightness(drive: str, brightness: Brightness) -> list[Finding]:
    """Say which frames are too dark, too bright, clipped, blurred, or jump."""
    count = len(brightness.frames)
    if not count:
        return []
    expose = 'leave these frames out of the recording, or record again with other exposure'
    kinds = (
        (brightness.dark, 'frames are nearly black', expose),
        (brightness.bright, 'frames are nearly white', expose),
        (
            (brightness.clipped > MUCH_CLIPPED) & ~brightness.dark & ~brightness.bright,
            f'frames have more than {percent(MUCH_CLIPPED)} of their pixels black or white',
            'nothing can be matched there; lower the contrast or the gain of the camera',
        ),
        (
            brightness.jump > JUMP,
            'times the brightness jumps from one frame to the next',
            'the loss compares brightness: limit the auto exposure, or drop these frames',
        ),
        (
            brightness.blurred & ~brightness.dark & ~brightness.bright,
            'frames are much less sharp than those around them',
            'shorten the exposure, or drop these frames',
        ),
    )
    findings = []
    for number, (bad, what, advice) in enumerate(kinds):
        share = bad.sum() / count
        if share == 0:
            continue
        level: Level = 'note' if share < SOME_FRAMES and bad.sum() < 3 else 'warning'
        if number < 2 and share > MANY_FRAMES:
            level = 'error'
        text = f'{bad.sum()} of {count} ({frame_list(brightness.frames[bad].tolist())})'
        findings.append(Finding(level, drive, 'brightness', f'{bad.sum()} {what}', text, advice))
    return findings


def _sharpness(gray: NDArray[np.uint8]) -> float:
    """Return the strength of edges against that of the whole structure."""
    edges = cv2.Laplacian(gray, cv2.CV_32F)
    return float(np.asarray(edges).std() / (gray.std() + 1.0))
