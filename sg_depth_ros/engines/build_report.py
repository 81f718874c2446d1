"""What ``build_engine`` found out about engines: for people as a table, for programs as JSON."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from sg_depth_ros.contract import Precision
from sg_depth_ros.engines.opening import Refusal
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.engines.tensorrt.runtime import PlanOrigin
from sg_depth_ros.engines.timing import EngineTimes
from sg_depth_ros.engines.timing import Percentiles
from sg_depth_ros.model_file import ModelFile


class TriedEngine(NamedTuple):
    """An engine that came out usable."""

    model_path: Path  # what it runs: the file asked for or a sibling
    precision: Precision
    tf32: bool
    description: str
    self_test: SelfTestResult | None  # None: the file carries none
    plan: PlanOrigin | None  # None: the engine is ready without one
    times: EngineTimes
    node_parameters: tuple[str, ...]  # with which the node finds the plan


class BuildReport(NamedTuple):
    """All that one call found out."""

    model: ModelFile
    engines: tuple[TriedEngine, ...]
    refusals: tuple[Refusal, ...]


def print_report(report: BuildReport, console: Console) -> None:
    """Print a column for each engine, then what was not taken and why."""
    contract = report.model.contract
    title = (
        f'{report.model.path}: {contract.network}, guided by {contract.guidance}, '
        f'{contract.width}x{contract.height}'
    )
    _say(console, title, style='bold')
    if report.engines:
        console.print(_table(report.engines))
        _say(console, 'Times in ms: p50 / p95 / p99, nearest rank.')
    for engine in report.engines:
        if engine.plan is not None:
            name = f'{engine.model_path.name}{" with TF32" * engine.tf32}'
            _say(console, f'plan of {name}: {engine.plan.path or "not kept"}')
            if engine.node_parameters:
                parameters = ' '.join(f'-p {shlex.quote(s)}' for s in engine.node_parameters)
                _say(console, f'the node finds it with: {parameters}')
            if engine.plan.note is not None:
                _say(console, engine.plan.note, style='yellow')
        if engine.self_test is None:
            text = 'carries no self-test: nobody knows whether its depth is right; export it again'
            _say(console, f'{engine.model_path} {text}', style='yellow')
    has_plan = any(engine.plan is not None for engine in report.engines)
    if not has_plan and any(refusal.name.startswith('TensorRT') for refusal in report.refusals):
        _say(console, 'No TensorRT plan came out; the node would run the engine above.')
    for refusal in report.refusals:
        _say(console, f'not taken: {refusal.name}: {refusal.reason}', style='yellow')


def report_document(report: BuildReport) -> dict[str, Any]:
    """Return the report as JSON has it; times in milliseconds unless the name says otherwise."""
    contract = report.model.contract
    return {
        'model': str(report.model.path),
        'sha256': report.model.sha256,
        'network': contract.network,
        'guidance': contract.guidance,
        'precision': contract.precision,
        'width': contract.width,
        'height': contract.height,
        'usable': bool(report.engines),
        'engines': [
            {**_engine_document(engine), 'ratio_to_first': ratio}
            for engine, ratio in zip(report.engines, ratios(report.engines))
        ],
        'refused': [refusal._asdict() for refusal in report.refusals],
    }


def ratios(engines: Sequence[TriedEngine]) -> list[float]:
    """Return each engine's median time with copies over the first engine's."""
    return [
        engine.times.with_copies_ms.p50 / engines[0].times.with_copies_ms.p50 for engine in engines
    ]


def _table(engines: Sequence[TriedEngine]) -> Table:
    table = Table(show_header=False, show_lines=False)
    table.add_column('what', style='bold')
    for _ in engines:
        table.add_column(overflow='fold')
    rows = {
        'engine': [engine.description for engine in engines],
        'file': [engine.model_path.name for engine in engines],
        'precision': [engine.precision + (', TF32' if engine.tf32 else '') for engine in engines],
        'self-test': [_self_test_text(engine.self_test) for engine in engines],
        'network only': [_times_text(engine.times.network_ms) for engine in engines],
        'with copies': [_times_text(engine.times.with_copies_ms) for engine in engines],
        'runs': [f'{engine.times.runs} of each' for engine in engines],
    }
    if len(engines) > 1:
        rows['time / first'] = [f'{ratio:.2f}' for ratio in ratios(engines)]
    if any(engine.plan is not None for engine in engines):
        rows['plan'] = [_plan_text(engine.plan) for engine in engines]
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _self_test_text(result: SelfTestResult | None) -> str:
    if result is None:
        return 'none in the file'
    return (
        f'{"passed" if result.passed else "FAILED"}: {100 * result.share_within_1_percent:.2f} % '
        f'of pixels within 1 %, worst {100 * result.max_relative_error:.2g} %, '
        f'scale {result.scale_ratio:.5f}'
    )


def _plan_text(plan: PlanOrigin | None) -> str:
    if plan is None:
        return 'not needed'
    origin = 'built' if plan.was_built else 'from the cache, was built'
    return f'{plan.size_bytes / 1e6:.1f} MB, {origin} in {plan.build_s:.1f} s'


def _times_text(times_ms: Percentiles) -> str:
    return ' / '.join(f'{value:.2f}' for value in times_ms)


def _engine_document(engine: TriedEngine) -> dict[str, Any]:
    test, plan, times = engine.self_test, engine.plan, engine.times
    return {
        'file': str(engine.model_path),
        'precision': engine.precision,
        'tf32': engine.tf32,
        'engine': engine.description,
        'self_test': None if test is None else _self_test_document(test),
        'plan': None if plan is None else _plan_document(plan),
        'node_parameters': list(engine.node_parameters),
        'runs': times.runs,
        'network_ms': times.network_ms._asdict(),
        'with_copies_ms': times.with_copies_ms._asdict(),
    }


def _self_test_document(result: SelfTestResult) -> dict[str, Any]:
    return {
        **result._asdict(),
        'tolerance': result.tolerance._asdict(),
        'passed': result.passed,
    }


def _plan_document(plan: PlanOrigin) -> dict[str, Any]:
    return {**plan._asdict(), 'path': None if plan.path is None else str(plan.path)}


def _say(console: Console, text: str, style: str | None = None) -> None:
    """Print text as it is; a path keeps its one line, so that it can be copied."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
