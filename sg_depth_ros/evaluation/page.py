"""The page of an evaluation: numbers, curves, and the frames that explain them."""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.evaluation.comparison import shared_scaling
from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import ERROR_WORDS
from sg_depth_ros.evaluation.frame_pictures import MODELS_ABREAST
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.frame_pictures import frame_picture
from sg_depth_ros.evaluation.gallery import Shelf
from sg_depth_ros.evaluation.printing import cautions
from sg_depth_ros.evaluation.tables import class_table
from sg_depth_ros.evaluation.tables import difference_sentences
from sg_depth_ros.evaluation.tables import distance_table
from sg_depth_ros.evaluation.tables import drive_table
from sg_depth_ros.evaluation.tables import free_table
from sg_depth_ros.evaluation.tables import metric_tables
from sg_depth_ros.evaluation.tables import scale_table
from sg_depth_ros.evaluation.tables import standing_table
from sg_depth_ros.report.figures import Limit
from sg_depth_ros.report.figures import Series
from sg_depth_ros.report.figures import line_figure
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Command
from sg_depth_ros.report.page import Figure
from sg_depth_ros.report.page import Picture
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import Tiles
from sg_depth_ros.report.pictures import titled

Views = Sequence[Mapping[FrameKey, FrameView]]  # one mapping per model
COLOURS = (
    'Depth: a colour is a distance, the same in all pictures; see the bar below it. Red with a '
    'white outline in the image: infinite depth, clearly below the ground or on a missing '
    'vehicle. Boxes: vehicles whose contact with the ground is seen, with their depth over that '
    f'of the ground there; red: missing. Error: {ERROR_WORDS}.'
)
PANEL_ENTRIES = 2  # of the worst and of the best, in the picture for the terminal's user


def evaluation_page(
    models: tuple[Findings, ...],
    shelves: Sequence[Shelf],
    views: Views,
    command: str,
    *,
    drives: Sequence[DriveNote] = (),
) -> Report:
    """
    Put the page together.

    :param shelves: of ``choose_frames``.
    :param views: one mapping per model, with every frame of the shelves.
    :param command: that made the page.
    :param drives: what is known of them, also of those that could not be judged.
    """
    names = ', '.join(m.name for m in models)
    return Report(
        title=f'Depth on {models[0].dataset}',
        subtitle=f'{names}: {len(models[0].frames)} frames, '
        f'{models[0].summary.images} of them with ground truth',
        sections=(
            *evaluation_sections(models, shelves, views, drives=drives),
            Section('How this was made', how_it_was_made(models, command, drives=drives)),
        ),
    )


def evaluation_sections(
    models: tuple[Findings, ...],
    shelves: Sequence[Shelf],
    views: Views,
    *,
    drives: Sequence[DriveNote] = (),
) -> tuple[Section, ...]:
    """
    Return the sections on depth, for a page that has others of its own.

    The parameters are those of ``evaluation_page``.
    """
    sections = [Section('Result', _result(models, drives))]
    per_drive = drive_table(models)
    if per_drive is not None:
        sections.append(Section('Per drive', (per_drive,)))
    sections.append(Section('Without ground truth', _without_truth(models)))
    groups = [t for t in (distance_table(models), class_table(models)) if t is not None]
    if groups:
        sections.append(Section('By distance and class', tuple(groups)))
    figures = _error_figures(models)
    if figures:
        sections.append(Section('Frame by frame', figures))
    sections += [
        Section(shelf.title, (Text(COLOURS), *_shelf_pictures(shelf, views))) for shelf in shelves
    ]
    return tuple(sections)


def how_it_was_made(
    models: tuple[Findings, ...], command: str, *, drives: Sequence[DriveNote] = ()
) -> tuple[Block, ...]:
    """Return what is known of models and drives, and the command."""
    notes = tuple(
        Table((note.name, note.source), note.facts) for note in drives if note.facts or note.source
    )
    return (_models_table(models), *notes, Command(command))


def evaluation_panel(shelves: Sequence[Shelf], views: Views) -> NDArray[np.uint8]:
    """Return the first frames of the first two kinds, one below the other."""
    pictures = []
    for shelf in shelves[:2]:
        for entry in shelf.entries[:PANEL_ENTRIES]:
            title = f'{shelf.title}: {_name(entry)}'
            own = [view[entry] for view in views[:MODELS_ABREAST]]
            pictures.append(titled(frame_picture(own), title))
    width = max(p.shape[1] for p in pictures)
    padded = [np.pad(p, ((0, 10), (0, width - p.shape[1]), (0, 0))) for p in pictures]
    return np.vstack(padded)


def _result(models: tuple[Findings, ...], drives: Sequence[DriveNote]) -> tuple[Block, ...]:
    blocks: list[Block] = [Tiles(_tiles(models)), *(Caution(c) for c in cautions(models))]
    blocks += (Caution(f'{note.name}: {note.caution}') for note in drives if note.caution)
    blocks += metric_tables(models)
    blocks += (Text(sentence) for sentence in difference_sentences(models))
    scale = scale_table(models)
    return (*blocks, scale) if scale is not None else tuple(blocks)


def _tiles(models: tuple[Findings, ...]) -> tuple[Tile, ...]:
    """Return the key numbers of one model, or each model's AbsRel."""
    summary, infinite = models[0].summary, models[0].infinite_depth()
    standing = models[0].standing().total
    free = (
        Tile('Infinite depth', f'{infinite.frames}', f'of {infinite.all_frames} frames'),
        Tile(
            'Missing vehicles',
            f'{standing.missing_share or 0:.0%}',
            f'of {standing.vehicles} that stand on seen road',
        ),
    )
    if summary.unscaled is None or summary.median_scaled is None:
        if len(models) == 1:
            return free
        return tuple(
            Tile(m.name, f'{m.infinite_depth().frames}', 'frames with infinite depth')
            for m in models
        )
    if len(models) > 1:
        scaling = shared_scaling(models)
        return tuple(_model_tile(m, scaling == 'unscaled') for m in models)
    u, s = summary.unscaled, summary.median_scaled
    return (
        Tile('AbsRel', f'{u.abs_rel:.3f}', f'{s.abs_rel:.3f} median-scaled'),
        Tile('RMSE', f'{u.rmse:.2f} m', f'{s.rmse:.2f} m median-scaled'),
        Tile('a1', f'{u.a1:.3f}', f'{s.a1:.3f} median-scaled'),
        Tile('Scale ratio', f'{summary.scale_ratio_median:.3f}', 'truth / prediction'),
        *free,
    )


def _model_tile(model: Findings, is_unscaled: bool) -> Tile:
    unscaled, scaled = model.summary.unscaled, model.summary.median_scaled
    assert unscaled is not None
    assert scaled is not None
    first, other = (unscaled, scaled) if is_unscaled else (scaled, unscaled)
    words = 'median-scaled' if is_unscaled else 'unscaled'
    return Tile(f'AbsRel, {model.name}', f'{first.abs_rel:.3f}', f'{other.abs_rel:.3f} {words}')


def _error_figures(models: tuple[Findings, ...]) -> tuple[Block, ...]:
    scaling = shared_scaling(models)
    numbers = [n for n, f in enumerate(models[0].frames) if f.judgement is not None]
    if len(numbers) < 2:
        return ()
    errors, ratios = [], []
    for model in models:
        judged = [f for f in model.frames if f.judgement is not None]
        errors.append(Series(model.name, [f.metrics(scaling).abs_rel for f in judged]))
        if model.contract.metric:
            scales = [f.judgement.scale_ratio for f in judged if f.judgement is not None]
            ratios.append(Series(model.name, scales))
    x_label = 'frame, in the order of evaluation'
    blocks: list[Block] = [
        Figure(
            line_figure(numbers, errors, x_label=x_label, y_label=f'AbsRel, {scaling}'),
            'Relative error of each frame with ground truth.',
        )
    ]
    if ratios:
        one = (Limit('right scale', 1.0),)
        svg = line_figure(
            numbers, ratios, x_label=x_label, y_label='median truth / prediction', limits=one
        )
        blocks.append(Figure(svg, 'Scale of each frame: a metric model stays near 1.'))
    return tuple(blocks)


def _without_truth(models: tuple[Findings, ...]) -> tuple[Block, ...]:
    standing = standing_table(models)
    blocks: tuple[Block, ...] = () if standing is None else (standing,)
    return (free_table(models), *blocks, *_holes_figure(models))


def _holes_figure(models: tuple[Findings, ...]) -> tuple[Block, ...]:
    frames = range(len(models[0].frames))
    if len(frames) < 2 or not any(f.hole_pixels for m in models for f in m.frames):
        return ()
    series = [
        Series(
            m.name,
            [100 * f.hole_pixels / (m.contract.width * m.contract.height) for f in m.frames],
        )
        for m in models
    ]
    svg = line_figure(
        list(frames), series, x_label='frame, in the order of evaluation', y_label='% of pixels'
    )
    return (Figure(svg, 'Pixels of infinite depth, as a share of the image.'),)


def _shelf_pictures(shelf: Shelf, views: Views) -> list[Block]:
    blocks: list[Block] = []
    for entry in shelf.entries:
        own = [view[entry] for view in views]
        for start in range(0, len(own), MODELS_ABREAST):
            part = own[start : start + MODELS_ABREAST]
            blocks.append(Picture(frame_picture(part), _name(entry)))
    return blocks


def _name(entry: FrameKey) -> str:
    return f'{entry.drive}, frame {entry.frame}'


def _models_table(models: tuple[Findings, ...]) -> Table:
    columns = ('model', 'file', 'network', 'input', 'scale', 'training stage')
    rows = tuple(
        (
            m.name,
            m.file,
            f'{m.contract.network}, guidance {m.contract.guidance}',
            f'{m.contract.width}x{m.contract.height}',
            f'metric, from {m.contract.scale_source}' if m.contract.metric else 'unknown',
            str(m.contract.training_stage),
        )
        for m in models
    )
    return Table(columns, rows)
