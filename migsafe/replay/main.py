# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""migsafe-replay: replay incident 000 on real Nova, plain and with migsafe."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from migsafe.replay import catalogue, pace, page, progress, rst, run, story, table, timetable
from migsafe.replay.entry import Entry
from migsafe.replay.summary import Report

#: Columns of the table where there is no terminal to ask.
WIDTH = 160

CLEAN, FOUND, USAGE = 0, 1, 2

#: option -> what it writes.
FORMATS: dict[str, Callable[[Report], str]] = {
    'json': lambda report: json.dumps(report.as_dict(), indent=1) + '\n',
    'html': page.render,
    'rst': rst.render,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='migsafe-replay',
        description='Replay incident 000, and the faults that could cause its like, on two real '
                    'ComputeManagers: once with plain Nova, once with migsafe.',
        epilog='Exit code: 0 if every fault took place and migsafe ended clean after each, '
               '1 if not, 2 if the arguments are wrong.')
    parser.add_argument('--list', action='store_true', help='name the faults and exit')
    parser.add_argument('--fault', action='append', metavar='NAME',
                        help='replay only this one and show its timeline; may be given again')
    parser.add_argument('--json', metavar='FILE', help='write everything as JSON; - is stdout')
    parser.add_argument('--html', metavar='FILE',
                        help='write one self-contained page with a timeline per transaction')
    parser.add_argument('--rst', metavar='FILE', help='write the table of the documentation')
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = _parser().parse_args(arguments)
    outputs = {name: getattr(options, name) for name in FORMATS if getattr(options, name)}
    # what a script reads on stdout must not be mixed with what a person reads
    console = Console(stderr='-' in outputs.values())
    if not console.is_terminal:
        console = Console(stderr=console.stderr, width=WIDTH)
    try:
        entries = _chosen(options.fault)
        if options.list:
            table.show_list(console, entries)
            return CLEAN
        _check(outputs)
    except (catalogue.UnknownFault, OSError) as error:
        print(f'migsafe-replay: {error}', file=sys.stderr)
        return USAGE
    return _replay(console, entries, bool(options.fault), outputs)


def _chosen(names: Sequence[str] | None) -> tuple[Entry, ...]:
    if not names:
        return catalogue.ENTRIES
    return tuple(catalogue.find(name) for name in dict.fromkeys(names))


def _check(outputs: dict[str, str]) -> None:
    """:raises OSError: if a file could not be written minutes later."""
    for name in outputs.values():
        if name != '-':
            pathlib.Path(name).touch()


def _replay(console: Console, entries: tuple[Entry, ...], closely: bool,
            outputs: dict[str, str]) -> int:
    table.show_story(console, story.load())
    for note in pace.here(len(entries)):
        console.print(note, highlight=False)
    work = run.Run(entries)
    progress.follow(console, work, work.totals)
    report = work.report()
    if closely:
        for pair in report.pairs:
            timetable.show(console, report, pair)
    table.show_report(console, report)
    for name, target in outputs.items():
        text = FORMATS[name](report)
        if target == '-':
            sys.stdout.write(text)
        else:
            pathlib.Path(target).write_text(text, encoding='utf-8')
            console.print(f'{name}: {pathlib.Path(target).resolve()}', highlight=False,
                          soft_wrap=True)
    return CLEAN if report.good else FOUND


if __name__ == '__main__':
    sys.exit(main())
