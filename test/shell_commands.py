"""Command lines in pages and in the comments that open a configuration: for tests."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATIONS = sorted((ROOT / 'config' / 'training').glob('*.yaml'))


def page_commands(page: Path) -> list[list[str]]:
    """Return every command line of a page's bash blocks, as words."""
    blocks = re.findall(r'```bash\n(.*?)```', page.read_text(), re.DOTALL)
    return [words for block in blocks for words in split_commands(block)]


def header(configuration: Path) -> str:
    """Return the comment that opens a configuration, without its marks."""
    lines = []
    for line in configuration.read_text().splitlines():
        if not line.startswith('#'):
            break
        lines.append(line.removeprefix('#').removeprefix(' '))
    return '\n'.join(lines)


def header_commands(configuration: Path) -> list[list[str]]:
    """Return every command line of a configuration's opening comment, as words."""
    lines = re.sub(r'\\\n\s*', ' ', header(configuration)).splitlines()
    return split_commands(
        '\n'.join(line for line in lines if re.match(r'  +(python|torchrun) ', line))
    )


def verb_options(words: list[str]) -> tuple[str, list[str]] | None:
    """Return the verb of a ``-m training`` command and the options that it is given."""
    for at, word in enumerate(words[:-2]):
        if word == '-m' and words[at + 1] == 'training':
            rest = ' '.join(words[at + 3 :]).split()  # options may be quoted for another verb
            options = [w.partition('=')[0] for w in rest if w.startswith('--')]
            return words[at + 2], options
    return None


def split_commands(block: str) -> list[list[str]]:
    """Return every command line of a block of shell, as words."""
    commands = []
    for line in re.sub(r'\\\n\s*', ' ', block).splitlines():
        words = shlex.split(line, comments=True)
        while '&&' in words:
            at = words.index('&&')
            commands.append(words[:at])
            words = words[at + 1 :]
        if words:
            commands.append(words)
        # A command for another to run, such as sbatch --wrap "srun ...".
        commands += [shlex.split(word) for word in words if ' -m training ' in word]
    return commands
