"""The page of an evaluation: numbers, curves, and the frames that explain them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.evaluation.curves import distance_figure
from sg_depth_ros.evaluation.curves import drive_figures
from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.frame_blocks import Views
from sg_depth_ros.evaluation.frame_blocks import shelf_section
from sg_depth_ros.evaluation.frame_pictures import MODELS_ABREAST
from sg_depth_ros.evaluation.frame_pictures import frame_picture
from sg_depth_ros.evaluation.gallery import Shelf
from sg_depth_ros.evaluation.printing import cautions
from sg_depth_ros.evaluation.result_blocks import result_tiles
from sg_depth_ros.evaluation.result_blocks import verdict
from sg_depth_ros.evaluation.tables import class_table
from sg_depth_ros.evaluation.tables import difference_sentences
from sg_depth_ros.evaluation.tables import distance_table
from sg_depth_ros.evaluation.tables import drive_table
from sg_depth_ros.evaluation.tables import infinite_table
from sg_depth_ros.evaluation.tables import metric_tables
from sg_depth_ros.evaluation.tables import scale_table
from sg_depth_ros.evaluation.tables import standing_table
from sg_depth_ros.evaluation.tables import steadiness_table
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Command
from sg_depth_ros.report.page import Details
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tiles
from sg_depth_ros.report.page import number_of
from sg_depth_ros.report.pictures import titled

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
        subtitle=f'{names}: {number_of("frames", len(models[0].frames))}, '
        f'{models[0].summary.images or "none"} with ground truth',
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
    sections = (
        ('Result', _result(models, drives)),
        ('Per drive', _if_any(drive_table(models))),
        ('By distance', (*distance_figure(models), *_if_any(distance_table(models)))),
        ('By class', _if_any(class_table(models))),
        ('Without ground truth', _free_of_truth(models)),
        ('Over time', drive_figures(models)),
    )
    return (
        *(Section(title, blocks) for title, blocks in sections if blocks),
        *(shelf_section(shelf, views) for shelf in shelves),
    )


def how_it_was_made(
    models: tuple[Findings, ...], command: str, *, drives: Sequence[DriveNote] = ()
) -> tuple[Block, ...]:
    """Return what is known of models and drives, and the command."""
    tables = [(note.name, Table((note.name, note.source), note.facts)) for note in drives]
    notes: tuple[Block, ...] = tuple(table for _, table in tables)
    if len(tables) > 1:
        notes = tuple(Details(name, (table,)) for name, table in tables)
    return (_models_table(models), *notes, Command(command))


def evaluation_panel(shelves: Sequence[Shelf], views: Views) -> NDArray[np.uint8]:
    """Return the first frames of the first two kinds, one below the other."""
    pictures = []
    for shelf in shelves[:2]:
        for entry in shelf.entries[:PANEL_ENTRIES]:
            title = f'{shelf.title}: {entry.drive}, frame {entry.frame}'
            own = [view[entry] for view in views[:MODELS_ABREAST]]
            pictures.append(titled(frame_picture(own), title))
    width = max(p.shape[1] for p in pictures)
    padded = [np.pad(p, ((0, 10), (0, width - p.shape[1]), (0, 0))) for p in pictures]
    return np.vstack(padded)


def _result(models: tuple[Findings, ...], drives: Sequence[DriveNote]) -> tuple[Block, ...]:
    told = verdict(models)
    return (
        *((Text(told),) if told else ()),
        Tiles(result_tiles(models)),
        *(Caution(c) for c in cautions(models)),
        *(Caution(f'{note.name}: {note.caution}') for note in drives if note.caution),
        *metric_tables(models),
        *(Text(sentence) for sentence in difference_sentences(models)),
        *_if_any(scale_table(models)),
    )


def _free_of_truth(models: tuple[Findings, ...]) -> tuple[Block, ...]:
    return (
        Text('What can be told without measured depth.'),
        infinite_table(models),
        *_if_any(standing_table(models)),
        *_if_any(steadiness_table(models)),
    )


def _if_any(table: Table | None) -> tuple[Block, ...]:
    return () if table is None else (table,)


def _models_table(models: tuple[Findings, ...]) -> Table:
    facts = [(m.file, *_contract_facts(m.contract)) for m in models]
    names = (
        'file',
        'network',
        'input',
        'depth',
        'scale',
        'training stage',
        'licence of the data',
        'licence of the weights',
    )
    return Table(('model', *(m.name for m in models)), tuple(zip(names, *facts)))


def _contract_facts(contract: ModelContract) -> tuple[str, ...]:
    return (
        f'{contract.network}, guidance {contract.guidance}',
        f'{contract.width}x{contract.height}, trained with fx {contract.intrinsics.fx:.1f} px, '
        f'{contract.intrinsics.horizontal_fov_deg():.0f}° wide',
        f'{contract.min_depth_m:g} to {contract.max_depth_m:g} m',
        f'metric, from {contract.scale_source}' if contract.metric else 'unknown',
        str(contract.training_stage),
        contract.data_licence,
        contract.weights_licence,
    )
