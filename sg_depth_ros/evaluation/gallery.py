"""Which frames an evaluation shows: the worst, the best, where models differ, holes."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sg_depth_ros.evaluation.comparison import shared_scaling
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.frame_key import FrameKey

SPACING_FRAMES = 5  # frames nearer than this to a shown one show the same again


_NOTES = {
    'Worst frames': 'The largest AbsRel, no two of them neighbours.',
    'Best frames': 'The smallest AbsRel, no two of them neighbours.',
    'Where the models differ most': 'The largest difference in AbsRel.',
    'Missing vehicles': 'Most vehicles that depth does not show where they stand.',
    'Most infinite depth': 'Most pixels clearly below the road or on missing vehicles.',
    'Along the way': 'Without ground truth nothing tells good from bad: evenly spread frames.',
}


class Shelf(NamedTuple):
    """A row of the gallery."""

    title: str
    entries: tuple[FrameKey, ...]
    note: str = ''  # why these


class _Ranked(NamedTuple):
    """A frame and how much speaks for showing it."""

    rank: float
    entry: FrameKey


def choose_frames(models: tuple[Findings, ...], count: int) -> tuple[Shelf, ...]:
    """
    Choose frames by the mean AbsRel of the models, by how much it differs, and by their holes.

    :param count: of each kind; a frame is shown once, and not beside a neighbour of its kind.
    """
    scaling = shared_scaling(models)
    errors = {
        frames[0].entry: [f.metrics(scaling).abs_rel for f in frames]
        for frames in zip(*(m.frames for m in models))
        if all(f.judgement is not None for f in frames)
    }
    holes = {
        frames[0].entry: max(f.hole_pixels / m.contract.width for f, m in zip(frames, models))
        for frames in zip(*(m.frames for m in models))
    }
    missing = {
        frames[0].entry: max(sum(v.is_missing for v in f.standing.vehicles) for f in frames)
        for frames in zip(*(m.frames for m in models))
    }
    mean = {entry: float(np.mean(e)) for entry, e in errors.items()}
    candidates = [
        ('Worst frames', [_Ranked(v, e) for e, v in mean.items()]),
        ('Best frames', [_Ranked(-v, e) for e, v in mean.items()]),
        ('Missing vehicles', [_Ranked(v, e) for e, v in missing.items() if v > 0]),
        ('Most infinite depth', [_Ranked(v, e) for e, v in holes.items() if v > 0]),
    ]
    if len(models) > 1:
        apart = [_Ranked(max(v) - min(v), e) for e, v in errors.items()]
        candidates.insert(2, ('Where the models differ most', apart))
    if not errors:
        every = [f.entry for f in models[0].frames]
        places = [int((i + 0.5) * len(every) / count) for i in range(count)]
        candidates.append(('Along the way', [_Ranked(0.0, every[i]) for i in sorted({*places})]))
    shelves, taken = [], set[FrameKey]()
    for title, ranked in candidates:
        entries = _first(ranked, count, taken)
        taken |= set(entries)
        if entries:
            shelves.append(Shelf(title, entries, _NOTES[title]))
    return tuple(shelves)


def _first(ranked: Iterable[_Ranked], count: int, taken: set[FrameKey]) -> tuple[FrameKey, ...]:
    """Return the highest ranks, leaving out what is shown already and neighbours."""
    chosen: list[FrameKey] = []
    for _, entry in sorted(ranked, key=lambda r: (-r.rank, r.entry)):
        if len(chosen) == count:
            break
        beside = any(
            c.drive == entry.drive and abs(c.frame - entry.frame) < SPACING_FRAMES for c in chosen
        )
        if entry not in taken and not beside:
            chosen.append(entry)
    return tuple(chosen)
