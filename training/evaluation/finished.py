"""
The models that an interrupted evaluation was done with, so that they need not run again.

What is kept is removed when the whole evaluation is done: it is for going on, not for later.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.metrics import ImageJudgement
from sg_depth_ros.replay.output import write_text_atomically
from sg_depth_ros.standing import StandingFrame
from sg_depth_ros.standing import StandingVehicle
from training.data.drive import SplitEntry
from training.evaluation.error_maps import ErrorMaps
from training.evaluation.findings import Findings
from training.evaluation.findings import FrameFinding
from training.evaluation.frames import JudgedFrames
from training.evaluation.holes import FrameScore
from training.evaluation.judging import JudgingOptions
from training.evaluation.judging import assemble_findings
from training.evaluation.models import NamedModel

FORMAT_VERSION = 3  # counts up when the same input is judged differently


def fingerprint(
    model: NamedModel,
    frames: JudgedFrames,
    entries: Sequence[SplitEntry],
    options: JudgingOptions,
    maps: ErrorMaps,
) -> str:
    """Return a hash of all that findings depend on."""
    files = []
    for entry in entries:
        path = frames.path(entry)
        state = path.stat() if path.exists() else None  # a missing one is reported when it is read
        changed = None if state is None else (state.st_size, state.st_mtime_ns)
        files.append([*entry, changed, asdict(frames.camera(entry))])
    told = [FORMAT_VERSION, model.name, frames.name, files, options, sorted(maps.entries)]
    digest = hashlib.sha256(json.dumps(told).encode())
    digest.update(model.path.read_bytes())
    return digest.hexdigest()


def keep(findings: Findings, key: str, path: Path) -> None:
    """Write what was found of a model."""
    document = {'key': key, 'frames': [_to_json(f) for f in findings.frames]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(json.dumps(document), path)


def kept(
    path: Path,
    key: str,
    model: NamedModel,
    contract: ModelContract,
    frames: JudgedFrames,
    options: JudgingOptions,
) -> Findings | None:
    """Read what was found of a model, or return None where that is nothing or of other input."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if document.get('key') != key:
        return None
    found = tuple(_from_json(f) for f in document['frames'])
    return assemble_findings(model, contract, frames, options, found)


def _to_json(finding: FrameFinding) -> dict[str, Any]:
    judgement, standing = finding.judgement, finding.standing
    return {
        'entry': finding.entry,
        'hole_pixels': finding.hole_pixels,
        'missing_pixels': finding.score.missing_pixels,
        'plane': _plane_to_json(finding.score.plane),
        'plane_from': finding.score.plane_from,
        'counted': finding.score.counted,
        'judgement': None if judgement is None else _plain(judgement._asdict()),
        'vehicles': [v._asdict() for v in standing.vehicles],
        'standing_plane': _plane_to_json(standing.plane),
        'median_depth': finding.median_depth,
        'labels_given': finding.labels_given,
    }


def _from_json(document: dict[str, Any]) -> FrameFinding:
    judged = document['judgement']
    if judged is not None:
        judged = _with_arrays(judged)
        for scaling in ('unscaled', 'median_scaled'):
            judged[scaling] = DepthMetrics(**judged[scaling])
    vehicles = [{**v, 'box': tuple(v['box'])} for v in document['vehicles']]
    return FrameFinding(
        score=FrameScore(
            SplitEntry(*document['entry']),
            document['hole_pixels'],
            _plane_from_json(document['plane']),
            document['plane_from'],
            document['counted'],
            document['missing_pixels'],
        ),
        judgement=None if judged is None else ImageJudgement(**judged),
        standing=StandingFrame(
            tuple(StandingVehicle(**v) for v in vehicles),
            _plane_from_json(document['standing_plane']),
        ),
        median_depth=document['median_depth'],
        labels_given=document['labels_given'],
    )


def _plane_to_json(plane: GroundPlane | GroundPlaneRefusal) -> dict[str, Any]:
    return plane._asdict() if isinstance(plane, GroundPlaneRefusal) else _plain(asdict(plane))


def _plane_from_json(document: dict[str, Any]) -> GroundPlane | GroundPlaneRefusal:
    if 'reason' in document:
        return GroundPlaneRefusal(**document)
    return GroundPlane(**_with_arrays(document))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Turn arrays into lists and metrics into their numbers; floats survive JSON exactly."""
    plain = {}
    for key, value in values.items():
        if isinstance(value, np.ndarray):
            value = value.tolist()
        elif isinstance(value, DepthMetrics):
            value = asdict(value)
        plain[key] = value
    return plain


def _with_arrays(values: dict[str, Any]) -> dict[str, Any]:
    return {k: np.array(v) if isinstance(v, list) else v for k, v in values.items()}
