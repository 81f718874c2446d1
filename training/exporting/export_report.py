"""What ``export`` did, and how it is printed."""

from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines.self_test import SelfTestResult
from training.exporting.folding import Folding
from training.exporting.onnx_graph import GraphSummary
from training.exporting.parity import Parity


class Export(NamedTuple):
    """What was written, and what is known of it."""

    path: Path
    size_bytes: int
    contract: ModelContract
    semantic: str | None  # the semantic network in a few words; None: it knows no labels
    graph: GraphSummary
    folding: Folding
    changed: Parity | None  # by an inexact folding: what is exported against what was trained
    parity: Parity
    self_test: SelfTestResult
    engine: str


def print_export(export: Export, console: Console) -> None:
    """Print what was written."""
    contract, graph, parity = export.contract, export.graph, export.parity
    scale = f'metric, from {contract.scale_source}' if contract.metric else 'unknown'
    operators = ', '.join(f'{name} {number}' for name, number in graph.operators)
    table = Table(title=str(export.path), show_header=False, title_justify='left')
    for name, value in (
        ('network', f'{contract.network}, guidance {contract.guidance}, {contract.precision}'),
        ('labels', export.semantic or 'all unknown (255), confidence 0: no semantic network'),
        ('image', f'{contract.width}x{contract.height}'),
        ('depth', f'{contract.min_depth_m:g} to {contract.max_depth_m:g} m, scale {scale}'),
        ('training', f'stage {contract.training_stage}, commit {contract.git_commit[:12]}'),
        ('accuracy', _accuracy(contract)),
        ('licences', f'data {contract.data_licence}; weights {contract.weights_licence}'),
        ('size', f'{export.size_bytes / 1e6:.1f} MB'),
        ('parameters', f'{graph.parameter_count:,}'),
        ('work', f'{graph.gmac:.2f} GMAC per image in convolutions'),
        *_packing_rows(export),
        ('operators', f'{graph.node_count}: {operators}'),
        (
            'agreement',
            f'on {parity.image_count} images with {export.engine}: relative depth error below '
            f'{parity.max_relative_error:.1e}, equal labels on '
            f'{100 * parity.label_agreement:.3f} % of pixels',
        ),
        ('self-test', export.self_test.summary()),
    ):
        table.add_row(name, value)
    console.print(table)


def _packing_rows(export: Export) -> list[tuple[str, str]]:
    """Say what was done to PackNet's packings; nothing of other networks."""
    folding, changed = export.folding, export.changed
    if not folding.packings:
        return []
    if not folding.folded:
        return [('packings', 'not folded: they pad before each convolution (--fold-packing)')]
    done = f'{folding.packings} folded, {folding.saved_gmac:.2f} GMAC per image saved'
    if changed is None:
        return [('packings', f'{done}; the depth is the same')]
    return [
        (
            'packings',
            f'{done}; against the trained network the depth changes by '
            f'{100 * changed.median_relative_error:.3g} % (median) and by up to '
            f'{100 * changed.max_relative_error:.3g} %: evaluate the file itself',
        )
    ]


def _accuracy(contract: ModelContract) -> str:
    shown = ('abs_rel', 'median_scaled_abs_rel', 'a1', 'images')
    values = [f'{n} {contract.validation[n]:.3g}' for n in shown if n in contract.validation]
    return ', '.join(values) or 'not stated; give --metrics of evaluate'
