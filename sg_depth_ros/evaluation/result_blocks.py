"""The first section of an evaluation's page: what came out, in numbers and in words."""

from sg_depth_ros.evaluation.comparison import shared_scaling
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import number_of

RIGHT_SCALE = 0.01  # of 1: metres are called right


def verdict(models: tuple[Findings, ...]) -> str:
    """Say in a sentence how good depth is; nothing without ground truth."""
    scaling = shared_scaling(models)
    errors = [(m, m.errors(scaling)) for m in models]
    judged = [(m, e) for m, e in errors if e is not None]
    if not judged:
        return ''
    if len(models) > 1:
        ranked = sorted(judged, key=lambda pair: pair[1].abs_rel)
        order = ', then '.join(f'{m.name} ({e.abs_rel:.3f})' for m, e in ranked)
        return f'Lowest error (AbsRel, {scaling}): {order}.'
    model, error = judged[0]
    first = '' if model.contract.metric else 'After scaling each image by its median, '
    text = (
        f'{first}depth is wrong by {100 * error.abs_rel:.1f} % of the distance in the mean, and '
        f'{100 * error.a1:.0f} % of the measured points are right within 25 %'
    )
    text = text[0].upper() + text[1:]
    ratio = model.summary.scale_ratio_median
    if not model.contract.metric or ratio is None:
        return f'{text}.'
    if abs(ratio - 1) < RIGHT_SCALE:
        return f'{text}; its metres are right within {100 * RIGHT_SCALE:.0f} %.'
    size = 'short' if ratio > 1 else 'long'
    return f'{text}; its metres are {100 * abs(1 / ratio - 1):.1f} % too {size} in the median.'


def result_tiles(models: tuple[Findings, ...]) -> tuple[Tile, ...]:
    """Return the key numbers: of one model, or a tile for each."""
    if len(models) > 1:
        return tuple(_model_tile(m, models) for m in models)
    model = models[0]
    summary, infinite = model.summary, model.infinite_depth()
    free = (
        Tile(
            'Infinite depth',
            f'{infinite.frames}',
            f'of {number_of("frames", infinite.all_frames)}',
            'bad' if infinite.frames else 'good',
        ),
        _missing_tile(model),
    )
    unscaled, scaled = summary.unscaled, summary.median_scaled
    if unscaled is None or scaled is None or summary.scale_ratio_median is None:
        return (*free, *_steadiness_tiles(model))
    if model.contract.metric:
        first, other, words = unscaled, scaled, 'median-scaled'
        ratio = f'{summary.scale_ratio_median:.3f}'
        scale = Tile('Scale ratio', ratio, 'truth / depth, 1 is right')
    else:
        first, other, words = scaled, unscaled, 'unscaled'
        scale = Tile('Scale', 'unknown', 'the rest is median-scaled')
    return (
        Tile('AbsRel', f'{first.abs_rel:.3f}', f'{other.abs_rel:.3f} {words}'),
        Tile('RMSE', f'{first.rmse:.2f} m', f'{other.rmse:.2f} m {words}'),
        Tile('a1', f'{first.a1:.3f}', f'{other.a1:.3f} {words}'),
        scale,
        *free,
    )


def _missing_tile(model: Findings) -> Tile:
    vehicles = model.standing().total.vehicles
    if not vehicles:
        return Tile('Missing vehicles', '–', 'none could be judged')
    missing = model.missing_vehicles()
    return Tile(
        'Missing vehicles', f'{missing}', f'of {vehicles} judged', 'bad' if missing else 'good'
    )


def _model_tile(model: Findings, models: tuple[Findings, ...]) -> Tile:
    infinite = model.infinite_depth().frames
    holes = (
        f'{number_of("frames", infinite)} with infinite depth, '
        f'{number_of("missing vehicles", model.missing_vehicles())}'
    )
    scaling = shared_scaling(models)
    metrics = model.errors(scaling)
    if metrics is None:
        return Tile(model.name, f'{infinite}', holes)
    return Tile(model.name, f'{metrics.abs_rel:.3f}', f'AbsRel, {scaling}; {holes}')


def _steadiness_tiles(model: Findings) -> tuple[Tile, ...]:
    ground, flicker = model.ground(), model.flicker()
    tiles = []
    if ground is not None:
        unit = ' m' if model.contract.metric else ''
        spread = ground.height_spread
        note = '' if spread is None else f'spread {100 * spread:.1f} %'
        tiles.append(Tile('Camera height', f'{ground.height_median:.2f}{unit}', note))
        if ground.residual_median is not None:
            residual = f'{100 * ground.residual_median:.1f} %'
            tiles.append(Tile('Road residual', residual, 'off its plane, median'))
    if flicker is not None:
        tiles.append(Tile('Flicker', f'{100 * flicker.mean:.1f} %', 'against the frames beside'))
    return tuple(tiles)
