"""
The names that our code takes from TensorRT, and what the real bindings say of each.

tensorrt_names.json holds, for each name and each of some versions, the member's signature or kind
as read from the bindings, null where that version lacks it. Written anew, from one
``api-VERSION.json`` for each version, by

    python test/tensorrt_names.py FOLDER

Such a file holds ``version`` and ``names``: for each class ``kind`` (class, enum or function) and
``members``, a member's text being its signature, ``method``, ``property`` or ``value``.
"""

import ast
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

ENGINE = Path(__file__).resolve().parents[1] / 'sg_depth_ros' / 'engines' / 'tensorrt'
CONDENSED = Path(__file__).with_suffix('.json')
VERSIONS = ('10.3', '10.13', '11.4')

# Names that a version lacks and that our code asks for with hasattr before it uses them.
GUARDED: frozenset[str] = frozenset()
# Protocols of api.py that are no classes of their own there.
MODULE, SEVERITY, ENUM_MEMBER = 'TensorRT', 'Severity', 'EnumMember'
# What Python itself asks for; the bindings do not list it.
PYTHONS_OWN = {'__buffer__', '__hash__', '__int__', '__iter__', '__version__'}
# The bindings' words for what api.py calls otherwise.
SAME_TYPES = {
    'IParserError': 'ParserError',
    'SupportsInt': 'int',
    'Buffer': 'bytes',
    'buffer': 'bytes',
}


class Member(NamedTuple):
    """What api.py says of a class's member."""

    kind: str  # method, property or value
    parameters: tuple[str, ...] = ()
    returns: str = ''


def read_protocols(api):
    """Return the members by class and name, of the protocols in api.py."""
    protocols = {}
    for node in ast.parse(api.read_text()).body:
        if isinstance(node, ast.ClassDef):
            protocols[node.name] = dict(map(read_member, members_of(node)))
    return protocols


def members_of(node):
    return [child for child in node.body if isinstance(child, ast.AnnAssign | ast.FunctionDef)]


def read_member(node):
    if isinstance(node, ast.AnnAssign):
        is_value = ast.unparse(node.annotation) == ENUM_MEMBER and node.target.id.isupper()
        return node.target.id, Member('value' if is_value else 'property')
    if any(ast.unparse(decorator) == 'property' for decorator in node.decorator_list):
        return node.name, Member('property')
    arguments = [*node.args.posonlyargs, *node.args.args][1:]
    returns = ast.unparse(node.returns).removesuffix(' | None')
    return node.name, Member('method', tuple(a.arg for a in arguments), returns)


def read_chains(folder):
    """Return what is taken from anything called ``trt``: ('BuilderFlag', 'TF32') and so on."""
    chains = set()
    for file in sorted(folder.rglob('*.py')):
        tree = ast.parse(file.read_text())
        chains |= {c for node in ast.walk(tree) if (c := chain_of(node))}
    # Of trt.BuilderFlag.TF32 there is trt.BuilderFlag too.
    return {c for c in chains if not any(c == other[: len(c)] != other for other in chains)}


def chain_of(node):
    names = []
    while isinstance(node, ast.Attribute) and node.attr != 'trt':
        names.append(node.attr)
        node = node.value
    is_trt = isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and node.id == 'trt')
    return tuple(reversed(names)) if is_trt else ()


def plain_chain(chain):
    """Return ILogger.ERROR for ILogger.Severity.ERROR, DataType.name for DataType.FLOAT.name."""
    first, *rest = (part for part in chain if part != SEVERITY)
    return [first, *rest[-1:]] if len(rest) > 1 and rest[0].isupper() else [first, *rest]


def read_aliases(folder):
    """Return where the module is called other than ``trt``, so that read_chains misses it."""
    found = []
    for file in sorted(folder.rglob('*.py')):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.arg) and node.annotation and node.arg != 'trt':
                is_alias = ast.unparse(node.annotation) == MODULE
            elif isinstance(node, ast.Assign):
                is_alias = any(
                    isinstance(value, ast.Attribute)
                    and value.attr == 'trt'
                    and ast.unparse(target) != 'trt'
                    for target, value in pairs_of(node)
                )
            else:
                continue
            if is_alias:
                found.append(f'{file.name}:{node.lineno}: {ast.unparse(node)}')
    return found


def pairs_of(assignment):
    """Return targets with their values; those of ``a, b = x, y`` one by one."""
    for target in assignment.targets:
        both = target, assignment.value
        if all(isinstance(side, ast.Tuple) for side in both):
            yield from zip(*(side.elts for side in both))
        else:
            yield both


def read_used(folder=ENGINE):
    """Return the names that our code uses, 'BuilderFlag.TF32', with what api.py says of them."""
    used = {}
    protocols = read_protocols(folder / 'api.py')
    for name, members in protocols.items():
        if name == ENUM_MEMBER:
            continue
        owner = {MODULE: '', SEVERITY: 'ILogger.'}.get(name, f'{name}.')
        if name not in (MODULE, SEVERITY):
            used[name] = None
        for member, said in members.items():
            if member in PYTHONS_OWN:
                continue
            if name == MODULE:
                used[member] = None
                if said.kind == 'method':
                    used[f'{member}.__init__'] = said._replace(returns='None')
            else:
                # ILogger.ERROR and the like are kept as an older form of ILogger.Severity.ERROR.
                used[owner + member] = Member('method') if name == SEVERITY else said
        if any(said.kind == 'value' for said in members.values()) and name != SEVERITY:
            used[f'{name}.name'] = protocols[ENUM_MEMBER]['name']
    for chain in read_chains(folder):
        if chain[0] not in PYTHONS_OWN:
            used.setdefault(chain[0], None)
            used.setdefault('.'.join(plain_chain(chain)), None)
    return used


def find_problems(used, condensed):
    """Return what is wrong with names that are used, one line each."""
    problems = [f'{name}: no version has it' for name in used if name not in condensed]
    problems += [f'{name}: is not used' for name in condensed if name not in used]
    for name in used.keys() & condensed.keys():
        for version, real in condensed[name].items():
            if real is None:
                if name not in GUARDED:
                    problems.append(f'{name}: TensorRT {version} lacks it')
            elif used[name] is not None and (difference := differs(used[name], real)):
                problems.append(f'{name}: in TensorRT {version} it is {real}, {difference}')
    return sorted(problems)


def differs(said, real):
    """Return in what api.py's word of a member differs from the bindings', if it does."""
    kind = real if real in ('property', 'value') else 'method'
    # An attribute of the module or a class may be a class itself.
    if said.kind != kind and not (said.kind == 'property' and real in ('method', 'class')):
        return f'a {kind} and no {said.kind}'
    signature = re.fullmatch(r'\w+\((.*)\) -> (.*)', real)
    if signature is None or not said.returns:
        return ''
    parameters = tuple(part.partition(':')[0].strip() for part in split(signature[1]))[1:]
    if said.parameters != parameters[: len(said.parameters)]:
        return f'and has no parameters {", ".join(said.parameters)}'
    needed = [p for p, part in zip(parameters, split(signature[1])[1:]) if '=' not in part]
    if len(needed) > len(said.parameters):
        return f'and needs {", ".join(needed)}'
    returns = plain_type(signature[2])
    if said.returns != ENUM_MEMBER and plain_type(said.returns) != returns:
        return f'and does not return {said.returns}'
    return ''


def split(parameters):
    """Split at the commas that are in no brackets."""
    return re.split(r', (?![^\[<]*[\]>])', parameters)


def plain_type(text):
    text = re.sub(r'\w+(::|\.)', '', text)
    return re.sub(r'\w+', lambda word: SAME_TYPES.get(word[0], word[0]), text).lower()


def condense(folder, names):
    """Return what the files of a folder say of names."""
    apis = {v: json.loads((folder / f'api-{v}.json').read_text())['names'] for v in VERSIONS}
    condensed = {}
    for name in sorted(names):
        owner, _, member = name.partition('.')
        real = {}
        for version, api in apis.items():
            entry = api.get(owner, {})
            real[version] = entry.get('members', {}).get(member) if member else entry.get('kind')
        if any(real.values()):
            condensed[name] = real
    return condensed


def main():
    condensed = condense(Path(sys.argv[1]), read_used())
    CONDENSED.write_text(json.dumps(condensed, indent=1) + '\n')
    print(f'{CONDENSED}: {len(condensed)} names')
    print('\n'.join(find_problems(read_used(), condensed)))


if __name__ == '__main__':
    main()
