"""
Reading a ``.pt2`` file, written by ``torch.export.save``, so that nothing in it can run code.

``torch.export.load`` trusts its file. As of torch 2.13 it unpickles sample inputs, tensor
subclasses, custom and opaque objects and older weights, opens compiled libraries, resolves an
operator's name to any function below ``torch``, hands size expressions to sympy's ``eval`` and
guards to ``exec``, and puts names into generated source. Here the archive is opened as a plain
ZIP file of JSON and raw numbers, checked, and written anew with only what passed; torch sees the
new one alone.
"""

import ast
import io
import json
import logging
import re
import zipfile
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram

from sg_depth_ros.errors import UserError

PROGRAM = 'models/model.json'
WEIGHTS = ('data/weights/', 'model_weights_config.json', 'weight_')
CONSTANTS = ('data/constants/', 'model_constants_config.json', 'tensor_')
SAMPLE_INPUTS = 'data/sample_inputs/model.pt'
HEADER = {'archive_format': b'pt2', 'archive_version': b'0', 'byteorder': b'little'}
ZIP_VERSION = ('.data/version', b'6')

NAME = re.compile(r'[A-Za-z0-9_.]*|-Infinity')
TEXT = re.compile(r'[A-Za-z0-9_ .,>-]*')  # an operator's string, such as einsum's 'bij,bjk->bik'
ATEN = re.compile(r'torch\.ops\.aten\.(\w+)\.(\w+)')
# What sizes are computed with, and blocks under torch.no_grad().
OTHER_TARGET = re.compile(
    r'_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_)'
    r'|torch\.sym_(float|int|ite|max|min|not|sum)|torch\._sym_sqrt|math\.(ceil|floor|trunc)'
    r'|torch\.ops\.higher_order\.wrap_with_set_grad_enabled'
)
FORBIDDEN = {'from_file'}  # the only operators that touch files

SYMBOL = re.compile(r'[a-z]+\d+')
SYMPY = re.compile(
    'Symbol|Integer|Rational|Float|Add|Mul|Pow|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|Max|Min|'
    'CeilToInt|FloorToInt|TruncToInt|RoundToInt|IntTrueDiv|FloatTrueDiv|ToFloat|PowByNatural|'
    'Identity|ModularIndexing|Equality|Unequality|StrictLessThan|StrictGreaterThan|LessThan|'
    'GreaterThan|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|true|false'
)
GUARD = re.compile('L|math|torch|max|min|abs|int|float|round')
ATTRIBUTES = {'size', 'stride', 'storage_offset', 'ceil', 'floor', 'trunc'} | {
    f'sym_{name}' for name in ('max', 'min', 'int', 'float', 'ite', 'not', 'sum', 'sqrt')
}
ARITHMETIC = (
    (ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Attribute, ast.Subscript, ast.Call)
    + (ast.keyword, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop)
    + (ast.boolop, ast.cmpop)
)
DAMAGE = (zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, RuntimeError)
STRUCTURES = {None, 'builtins.tuple', 'builtins.list', 'builtins.dict', 'collections.OrderedDict'}


def load_program(content: bytes) -> ExportedProgram:
    """
    Load a program from an archive that ``clean_archive`` wrote.

    :raises UserError: where torch cannot read it.
    """
    try:
        with _quiet():
            return torch.export.load(io.BytesIO(content))
    except Exception as error:  # torch's deserialiser raises whatever it meets
        reason = ' '.join(str(error).split())[:200]
        raise UserError(
            f'torch {torch.__version__} cannot read the exported program '
            f'({_written_by(content)}): {reason}'
        ) from error


def clean_archive(content: bytes) -> bytes:
    """
    Check a ``.pt2`` and write it anew with nothing but its program and plain tensors.

    Left out are sample inputs, extra files, compiled libraries, and notes on the source code.

    :raises UserError: where the file is damaged, or could not be read without running code.
    """
    try:
        files = _stored_files(content)
        program = json.loads(files[PROGRAM])
        graph = program['graph_module']
        whole, *_ = graph['module_call_graph']  # the others are of its parts
        graph['module_call_graph'] = [whole]
        graph['treespec_namedtuple_fields'] = {}
        _drop_notes(program)
        _check(program)
        tensors = {**_tensors(files, *WEIGHTS), **_tensors(files, *CONSTANTS)}
    except UserError:
        raise
    except DAMAGE as e:
        reason = ' '.join(repr(e).split())[:100]
        raise UserError(
            f'holds no program of torch.export.save, or a damaged one ({reason}); write it with '
            'torch.export.save (torch 2.13 and 2.14 were tried)'
        ) from e
    written = io.BytesIO()
    with zipfile.ZipFile(written, 'w') as archive:
        header = {**HEADER, ZIP_VERSION[0]: ZIP_VERSION[1], SAMPLE_INPUTS: b''}
        for name, data in {**header, PROGRAM: json.dumps(program).encode(), **tensors}.items():
            # A fixed date: equal programs give equal bytes.
            archive.writestr(zipfile.ZipInfo(f'program/{name}'), data)
    return written.getvalue()


def _stored_files(content: bytes) -> dict[str, bytes]:
    """Return the archive's files by their names below its root folder."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries):
            raise UserError('is compressed, which torch.export.save never does')
        files = {e.filename.partition('/')[2]: archive.read(e) for e in entries}
    if any(name.startswith('data/aotinductor/') for name in files):
        raise UserError('holds a compiled library; give the program itself (torch.export.save)')
    if files.get('byteorder', b'little') != b'little':
        raise UserError('was written on a machine of another byte order')
    return files


def _tensors(
    files: dict[str, bytes], folder: str, config_name: str, prefix: str
) -> dict[str, bytes]:
    """Return the files of plain tensors and their table; a pickled one is refused."""
    if f'{folder}model.pt' in files:
        raise UserError(
            'stores its tensors pickled, as older torch did; export it with torch 2.13'
        )
    table = json.loads(files[folder + config_name])
    kept = {folder + config_name: json.dumps(table).encode()}
    for name, payload in table['config'].items():
        if payload['use_pickle'] is not False or not payload['path_name'].startswith(prefix):
            raise UserError(
                f'stores {name!r} pickled, as it does for quantised tensors and custom objects; '
                'unpickling can run code, so only plain tensors are read'
            )
        kept[folder + payload['path_name']] = files[folder + payload['path_name']]
    _check(table)
    return kept


def _drop_notes(value: Any) -> None:
    """Empty what torch notes for debugging: it holds source lines and paths of a machine."""
    if isinstance(value, dict):
        if 'metadata' in value:
            value['metadata'] = {}
        for child in value.values():
            _drop_notes(child)
    elif isinstance(value, list):
        for child in value:
            _drop_notes(child)


def _check(value: Any, key: str = '') -> None:
    """Check every string below a JSON value, each by the rule of its key."""
    if isinstance(value, dict):
        for name, child in value.items():
            CHECKS.get(f'{key}:keys', _check_name)(name)
            _check(child, name)
    elif isinstance(value, list):
        for child in value:
            _check(child, key)
    elif isinstance(value, str):
        CHECKS.get(key, _check_name)(value)


def _check_name(text: str) -> None:
    if not NAME.fullmatch(text):
        raise UserError(f'holds {text[:60]!r} where a name belongs')


def _check_text(text: str) -> None:
    if not TEXT.fullmatch(text):
        raise UserError(f'holds an operator with the unusual text {text[:60]!r}')


def _check_version(text: str) -> None:
    if not re.fullmatch(r'[\w.+<=-]*', text):
        raise UserError(f'holds {text[:60]!r} where a version of torch belongs')


def _check_target(text: str) -> None:
    """Refuse what is no operator of torch's own; a name alone could be any function below it."""
    match = ATEN.fullmatch(text)
    if match is None and OTHER_TARGET.fullmatch(text):
        return
    packet = getattr(torch.ops.aten, match[1], None) if match else None
    operator = getattr(packet, match[2], None) if match else None
    if match is None or match[1] in FORBIDDEN or not isinstance(operator, OpOverload):
        raise UserError(
            f'uses {text[:60]!r}, which is none of the plain operators (aten) of torch '
            f'{torch.__version__}'
        )


def _check_operator(text: str) -> None:
    raise UserError(f'hands the function {text[:60]!r} to an operator, which is not read')


def _check_expression(text: str) -> None:
    """Refuse all but arithmetic of sizes: torch evaluates these as Python."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode='eval')))
    except (SyntaxError, RecursionError) as error:
        raise UserError(f'holds {text[:60]!r} where arithmetic of sizes belongs') from error
    for node in nodes:
        if (
            not isinstance(node, ARITHMETIC)
            or (isinstance(node, ast.Attribute) and node.attr not in ATTRIBUTES)
            or (isinstance(node, ast.Constant) and not _is_plain(node.value))
            or (
                isinstance(node, ast.Name)
                and not any(names.fullmatch(node.id) for names in (SYMBOL, SYMPY, GUARD))
            )
        ):
            raise UserError(f'holds {text[:60]!r} where arithmetic of sizes belongs')


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return NAME.fullmatch(value) is not None
    return isinstance(value, (bool, int, float))


def _check_structure(text: str) -> None:
    """Refuse inputs and outputs that are no tuples, lists or dictionaries of tensors."""
    _, root = json.loads(text)
    pending = [root]
    while pending:
        node = pending.pop()
        if node['type'] not in STRUCTURES:
            raise UserError(
                f'takes or returns {node["type"]}; the wrapper must take one tensor and return '
                'a tuple (logits, [feature maps])'
            )
        if node['context'] is not None:
            _check(json.loads(node['context']))
        pending += node['children_spec']


CHECKS: dict[str, Callable[[str], None]] = {
    'target': _check_target,
    'as_operator': _check_operator,
    'as_string': _check_text,
    'as_strings': _check_text,
    'expr_str': _check_expression,
    'guards_code': _check_expression,
    'range_constraints:keys': _check_expression,
    'in_spec': _check_structure,
    'out_spec': _check_structure,
    'torch_version': _check_version,
}


def _written_by(content: bytes) -> str:
    version = json.loads(_stored_files(content)[PROGRAM]).get('torch_version', 'unknown')
    return f'written by torch {version}'


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's log: what goes wrong is raised, and told in one line."""
    logger = logging.getLogger('torch.export')
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
