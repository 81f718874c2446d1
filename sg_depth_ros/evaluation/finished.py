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

from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.holes import FrameScore
from sg_depth_ros.evaluation.without_truth import GroundFit
from sg_depth_ros.ground import GroundPlane
from sg_depth_ros.ground import GroundPlaneRefusal
from sg_depth_ros.metrics import DepthMetrics
from sg_depth_ros.metrics import ImageJudgement
from sg_depth_ros.output import write_text_atomically
from sg_depth_ros.standing import StandingFrame
from sg_depth_ros.standing import StandingVehicle

FORMAT_VERSION = 6  # counts up when the same input is judged differently


def fingerprint(told: Sequence[Any], model: Path) -> str:
    """
    Return a hash of all that findings depend on.

    :param told: what JSON can hold of frames and options.
    """
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, *told]).encode())
    digest.update(model.read_bytes())
    return digest.hexdigest()


def keep(found: Sequence[FrameFinding], key: str, path: Path) -> None:
    """Write what was found of a model."""
    document = {'key': key, 'frames': [finding_to_json(f) for f in found]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(json.dumps(document), path)


def kept(path: Path, key: str) -> tuple[FrameFinding, ...] | None:
    """Read what was found of a model, or return None where that is nothing or of other input."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if document.get('key') != key:
        return None
    return tuple(finding_from_json(f) for f in document['frames'])


def finding_to_json(finding: FrameFinding) -> dict[str, Any]:
    """Return what JSON can hold of a finding, exactly."""
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
        'invalid_pixels': finding.invalid_pixels,
        'time_s': finding.time_s,
        'ground': finding.ground,
        'cell_depths': finding.cell_depths,
    }


def finding_from_json(document: dict[str, Any]) -> FrameFinding:
    """Return the finding that ``finding_to_json`` wrote."""
    judged = document['judgement']
    if judged is not None:
        judged = _with_arrays(judged)
        for scaling in ('unscaled', 'median_scaled'):
            judged[scaling] = DepthMetrics(**judged[scaling])
    vehicles = [{**v, 'box': tuple(v['box'])} for v in document['vehicles']]
    return FrameFinding(
        score=FrameScore(
            FrameKey(*document['entry']),
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
        invalid_pixels=document['invalid_pixels'],
        time_s=document['time_s'],
        ground=None if document['ground'] is None else GroundFit(*document['ground']),
        cell_depths=tuple(document['cell_depths']),
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
