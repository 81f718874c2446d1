"""
The reference of the parameters, made from their declarations.

    python -m sg_depth_ros.node.parameter_docs > docs/parameters.md
"""

from dataclasses import fields
from typing import Any

from sg_depth_ros.node.parameters import Applies
from sg_depth_ros.node.parameters import NodeParameters
from sg_depth_ros.node.parameters import documentation_of

# The first parameter of each section.
SECTIONS: dict[str, str] = {
    'model': 'What runs',
    'processing_mode': 'What comes in',
    'focal_correction': 'Scale',
    'output_reliability': 'What goes out',
    'max_processing_time_ms': 'What the diagnostics call too slow',
}
_APPLIES: dict[Applies, str] = {
    'at once': 'at once',
    'when configuring': 'configuring',
    'at start': 'start',
}
_INTRODUCTION = """\
# Parameters of depth_node

Made from the declarations in `sg_depth_ros/node/parameters.py` by
`python -m sg_depth_ros.node.parameter_docs`; `config/depth_node.yaml` holds them all with their
defaults.

A change **at once** holds from the next image on: `ros2 param set /depth_node cloud_stride 2`.
What is read when **configuring** can be set while the node is not configured, and is refused with
the reason otherwise:

```bash
ros2 lifecycle set /depth_node deactivate && ros2 lifecycle set /depth_node cleanup
ros2 param set /depth_node engine tensorrt
ros2 lifecycle set /depth_node configure && ros2 lifecycle set /depth_node activate
```

What is read at the **start** is given with `-p NAME:=VALUE` or a file of parameters and stays. A
value of a wrong type, out of its range or none of its choices is refused; at the start it ends the
node with exit status 2. Numbers with a point need it: `max_depth_m:=80.0`.
"""


def parameter_page() -> str:
    """Return docs/parameters.md."""
    lines = [_INTRODUCTION]
    for entry in fields(NodeParameters):
        if entry.name in SECTIONS:
            if len(lines) > 1:
                lines.append('')
            lines += [
                f'## {SECTIONS[entry.name]}\n',
                '| parameter | default | values | applies | |',
                '|---|---|---|---|---|',
            ]
        documentation = documentation_of(entry.name)
        cells = (
            f'`{entry.name}`',
            f'`{_written(entry.default)}`',
            _values(entry.name),
            _APPLIES[documentation.applies],
            documentation.description.replace('|', r'\|'),
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def parameter_help() -> str:
    """Return a few lines per parameter, for --help."""
    lines = []
    for entry in fields(NodeParameters):
        if entry.name in SECTIONS:
            lines.append(f'\n{SECTIONS[entry.name]}:')
        documentation = documentation_of(entry.name)
        choices = f' [{" | ".join(documentation.choices)}]' if documentation.choices else ''
        lines.append(f'  {entry.name} (default {_written(entry.default)}){choices}')
        lines.append(f'      {documentation.description}')
    return '\n'.join(lines)


def _values(name: str) -> str:
    documentation = documentation_of(name)
    default = getattr(NodeParameters(), name)
    if documentation.choices:
        return ', '.join(f'`{choice}`' for choice in documentation.choices)
    if isinstance(default, bool):
        return '`true`, `false`'
    if isinstance(default, str):
        return 'text'
    assert documentation.minimum is not None and documentation.maximum is not None
    kind = type(default)
    return f'{_written(kind(documentation.minimum))} to {_written(kind(documentation.maximum))}'


def _written(value: Any) -> str:
    """Return a value as YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return value or "''" if isinstance(value, str) else repr(value)


if __name__ == '__main__':
    print(parameter_page(), end='')
