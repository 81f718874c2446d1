"""What the motion between frames says: standing, repeated images, turning on the spot."""

import numpy as np
from numpy.typing import NDArray

from training.checking.finding import Finding
from training.checking.finding import Level
from training.checking.finding import Subject
from training.checking.finding import frame_list
from training.checking.finding import percent
from training.checking.motion import MOVING_FLOW_PX
from training.checking.motion import PairMotions
from training.data.drive import Drive
from training.data.triplets import list_triplets

FEW, MANY = 0.03, 0.5
MANY_REPEATED = 0.1
LEAST_RUN = 3  # pairs
AROUND = 3  # pairs on either side of a repeated image, of which many must move
MOST_REPEATED = 3  # of them: more stand still


def judge_motion(drive: Drive, motions: PairMotions) -> list[Finding]:
    """Judge what training could learn from."""
    repeated = repeated_images(motions)
    used = _used(drive, motions)
    standing = used & motions.still & ~repeated
    turning = used & motions.rotation_only
    return [
        *_triplets(drive),
        *_dropped(drive),
        *_share(
            drive,
            motions,
            standing,
            'static',
            'used frames stand still',
            'they teach infinite depth: drop them (prepare --min-motion), or check the speed',
        ),
        *_share(
            drive,
            motions,
            turning,
            'rotation only',
            'used frames turn without travelling',
            'nothing but a turn moves the image, so depth is invisible: leave them out',
        ),
        *_repeated(drive, motions, repeated),
    ]


def repeated_images(motions: PairMotions) -> NDArray[np.bool_]:
    """Return the pairs whose images are the same although those around them move."""
    repeated = np.zeros(len(motions.frames), np.bool_)
    moves = motions.flow_px > MOVING_FLOW_PX
    for number in np.flatnonzero(motions.unchanged):
        apart = np.abs(motions.frames - motions.frames[number])
        alone = motions.unchanged[apart <= AROUND].sum() <= MOST_REPEATED
        repeated[number] = alone and moves[apart <= AROUND].mean() >= 0.4
    return repeated


def _used(drive: Drive, motions: PairMotions) -> NDArray[np.bool_]:
    """Return the pairs that training warps into each other; it may skip slow frames."""
    warped = set()
    for triplet in list_triplets(drive):
        warped |= {(triplet.previous, triplet.target), (triplet.target, triplet.following)}
    return np.array([(i, i + 1) in warped for i in motions.frames.tolist()], np.bool_)


def _triplets(drive: Drive) -> list[Finding]:
    count, kept = len(list_triplets(drive)), len(drive.frames)
    if count >= 0.5 * kept:
        return []
    level: Level = 'error' if count == 0 else 'warning' if count < 0.25 * kept else 'note'
    return [
        Finding(
            level,
            drive.name,
            'triplets',
            'no frame can be a target' if count == 0 else 'few frames can be targets',
            f'{count} of {kept}',
            'a target needs neighbours on both sides towards which the camera has moved',
        )
    ]


def _dropped(drive: Drive) -> list[Finding]:
    dropped = [f.index for f in drive.frames if f.dropped is not None]
    share = len(dropped) / max(len(drive.frames), 1)
    if not dropped:
        return []
    return [
        Finding(
            'warning' if share > MANY else 'note',
            drive.name,
            'static',
            f'{percent(share)} of the frames were dropped by prepare',
            f'{len(dropped)} of {len(drive.frames)}',
            'nothing to do, unless the vehicle moved then',
        )
    ]


def _share(
    drive: Drive,
    motions: PairMotions,
    bad: NDArray[np.bool_],
    subject: Subject,
    what: str,
    advice: str,
) -> list[Finding]:
    share = float(bad.mean()) if len(bad) else 0.0
    if bad.sum() < LEAST_RUN or share < FEW:
        return []
    frames = frame_list(motions.frames[bad].tolist())
    return [
        Finding(
            'error' if share > MANY else 'warning',
            drive.name,
            subject,
            f'{percent(share)} of the pairs of {what}',
            f'{bad.sum()} of {len(bad)} ({frames})',
            advice,
        )
    ]


def _repeated(drive: Drive, motions: PairMotions, repeated: NDArray[np.bool_]) -> list[Finding]:
    if not repeated.any():
        return []
    share = float(repeated.mean())
    return [
        Finding(
            'error' if share > MANY_REPEATED else 'warning',
            drive.name,
            'duplicates',
            'images are repeated while the camera moves',
            f'{repeated.sum()} of {len(repeated)} pairs '
            f'(after {frame_list(motions.frames[repeated].tolist())})',
            'a repeated image says infinite depth: record without repeating, or drop them',
        )
    ]
