"""What ``export`` did, printed: of the network, of its files, and how well these agree with it."""

from rich.console import Console
from rich.table import Table

from sg_depth_ros.contract import ModelContract
from training.exporting.export_model import FORCED_KEY
from training.exporting.export_model import Export
from training.exporting.exported_file import ExportedFile
from training.exporting.parity import LIMITS


def print_export(export: Export, console: Console) -> None:
    """Print what was written."""
    for path, file in zip(export.paths, export.files):
        console.print(
            f'[bold]{path}[/]  {file.contract.precision}, {len(file.content) / 1e6:.1f} MB',
            soft_wrap=True,
        )
    console.print(_network_table(export))
    console.print(_file_table(export))
    console.print(_parity_table(export))
    notes = [note for file in export.files for note in _notes(file)]
    for note in (*export.warnings, *dict.fromkeys(notes)):
        console.print(f'[yellow]note:[/] {note}', highlight=False)


def _network_table(export: Export) -> Table:
    contract = export.files[0].contract
    trained = f'{contract.trained_width}x{contract.trained_height}'
    scale = f'metric, from {contract.scale_source}' if contract.metric else 'unknown'
    table = Table(show_header=False, title='Network', title_justify='left')
    table.add_column(style='bold')
    table.add_column(overflow='fold')
    for name, value in (
        ('network', f'{contract.network}, guidance {contract.guidance}'),
        ('labels', export.semantic or 'all unknown (255), confidence 0: no semantic network'),
        ('image', f'{contract.width}x{contract.height}, trained at {trained}'),
        ('depth', f'{contract.min_depth_m:g} to {contract.max_depth_m:g} m, scale {scale}'),
        ('training', f'stage {contract.training_stage}, commit {_short(contract.git_commit)}'),
        ('dataset', f'sha256 {_short(contract.dataset_sha256)}'),
        ('configuration', f'sha256 {_short(contract.config_sha256)}'),
        ('weights', f'sha256 {_short(contract.weights_sha256)}'),
        ('accuracy', _accuracy(contract)),
        ('licences', f'data {contract.data_licence}; weights {contract.weights_licence}'),
        *_packing_rows(export),
    ):
        table.add_row(name, value)
    return table


def _file_table(export: Export) -> Table:
    table = _table('Graph', export)
    graphs = [file.graph for file in export.files]
    rows = [
        ('parameters', [f'{g.parameter_count:,}' for g in graphs]),
        (
            '  of them fp16',
            [_share(g.half_parameter_count, g.parameter_count) for g in graphs],
        ),
        ('multiply-adds', [f'{g.gmac:.2f} GMAC' for g in graphs]),
        ('  of them fp16', [_share(g.half_gmac, g.gmac) for g in graphs]),
        ('operators', [str(g.node_count) for g in graphs]),
        ('  casts fp32/fp16', [str(g.cast_count) for g in graphs]),
    ]
    for name, values in rows:
        table.add_row(name, *values)
    table.add_section()
    names = dict.fromkeys(name for graph in graphs for name, _ in graph.operators)
    table.add_row(
        'operators by kind',
        *(
            ', '.join(f'{n} {dict(g.operators)[n]}' for n in names if n in dict(g.operators))
            for g in graphs
        ),
    )
    table.add_section()
    table.add_row('self-test', *(file.self_test.summary() for file in export.files))
    return table


def _parity_table(export: Export) -> Table:
    count = export.files[0].parity.image_count
    table = _table(f'Agreement with the network, the worst of {count} images', export)
    columns = [_agreement(file) for file in export.files]
    for rows in zip(*columns):
        table.add_row(rows[0][0], *(value for _, value in rows))
    return table


def _agreement(file: ExportedFile) -> list[tuple[str, str]]:
    """Return what is compared, in words and numbers; limits in brackets."""
    parity, limits = file.parity, LIMITS[file.contract.precision]
    bounded = f' (< {limits.max_relative_error:g})' if limits.max_relative_error < 1 else ''
    return [
        (
            'depth within 1 %',
            f'{100 * parity.share_within_1_percent:.3f} % of pixels '
            f'(>= {100 * limits.min_share_within_1_percent:g})',
        ),
        ('  relative error, median', f'{parity.median_relative_error:.1e}'),
        ('  99.9 % of pixels below', f'{parity.p999_relative_error:.1e}'),
        ('  worst pixel', f'{parity.max_relative_error:.1e}{bounded}'),
        ('  scale', f'{parity.scale_ratio:.5f}'),
        (
            'labels equal',
            f'{100 * parity.label_agreement:.3f} % of pixels '
            f'(>= {100 * limits.min_label_agreement:g})',
        ),
        (
            'confidence, mean',
            f'{parity.mean_confidence_difference:.3f} of 255 '
            f'(<= {limits.max_mean_confidence_difference:g})',
        ),
        ('  worst pixel', f'{parity.max_confidence_difference} of 255'),
    ]


def _notes(file: ExportedFile) -> list[str]:
    """Return what a user should know of a file."""
    if file.contract.precision == 'fp32':
        return []
    notes = [
        'fp16 is judged on the CPU by a graph that rounds every value of half precision as a GPU '
        'does that adds up in float32; "build_engine" repeats the self-test on the GPU itself '
        f'(this file in {file.engine}, which rounds constants only: depth within 1 % on '
        f'{100 * file.runtime_parity.share_within_1_percent:.3f} % of pixels)'
    ]
    if file.end_layers:
        layers = 'layer' if file.end_layers == 1 else f'{file.end_layers} layers'
        notes.append(
            f'the first and last {layers} of the depth network stayed in float32: without, it '
            'agreed less'
        )
    if file.failures:
        notes.append(
            f'written by --force although {"; ".join(file.failures)}; its contract says so '
            f'({FORCED_KEY})'
        )
    return notes


def _table(title: str, export: Export) -> Table:
    """Return a table with one column per file."""
    table = Table(title=title, title_justify='left')
    table.add_column('', style='bold', no_wrap=True)
    for file in export.files:
        table.add_column(file.contract.precision, overflow='fold')
    return table


def _short(name: str) -> str:
    """Return the first digits of a hash; the contract has them all."""
    digits, dash, rest = name.partition('-')
    return f'{digits[:12]}{dash}{rest}'


def _share(part: float, whole: float) -> str:
    return f'{100 * part / whole:.1f} %' if whole else 'none'


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
    size = f'{contract.trained_width}x{contract.trained_height}'
    if not values:
        return 'not stated; give --metrics of evaluate'
    return f'at {size}: {", ".join(values)}'
