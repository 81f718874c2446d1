"""The outcome of a replay as JUnit XML, which systems for continuous integration show."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from sg_depth_ros.output import write_text_atomically
from sg_depth_ros.replay.live.verdict import Check

_NOT_IN_XML = re.compile('[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')


def write_junit(checks: Sequence[Check], path: Path) -> None:
    """Write the checks as test cases, those of a run as one suite."""
    root = ElementTree.Element('testsuites', name='replay_bag')
    for mode in dict.fromkeys(check.mode for check in checks):
        own = [check for check in checks if check.mode == mode]
        suite = ElementTree.SubElement(
            root,
            'testsuite',
            name=mode,
            tests=str(len(own)),
            failures=str(sum(bool(check.failures) for check in own)),
            errors='0',
            skipped='0',
        )
        for check in own:
            case = ElementTree.SubElement(
                suite, 'testcase', classname=f'replay_bag.{mode}', name=check.promise
            )
            if check.failures:
                texts = [_NOT_IN_XML.sub('?', text) for text in check.failures]
                failure = ElementTree.SubElement(case, 'failure', message=texts[0])
                failure.text = '\n'.join(texts)
            ElementTree.SubElement(case, 'system-out').text = check.found
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding='unicode')
    write_text_atomically(f"<?xml version='1.0' encoding='utf-8'?>\n{text}\n", path)
