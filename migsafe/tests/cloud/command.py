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
"""The commands of tools/cloud."""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import signal
import sys

from migsafe.tests import sampling
from migsafe.tests.cloud import (
    bystander,
    cloud,
    gate,
    image,
    machines,
    pairs,
    places,
    play,
    processes,
    report,
    side,
    space,
)
from migsafe.tests.cloud.scenarios import SCENARIOS

#: What is kept when a new cloud begins: nothing of the old one's state, and all that is cached.
FORGOTTEN = ('run', 'private', 'state', 'machines', 'log', 'report', 'begun',
             'ready')


def main() -> None:
    """Do what the words say."""
    words = _parser().parse_args()
    try:
        sys.exit(words.do(words))
    except (space.NoCloud, processes.Failed, TimeoutError) as error:
        sys.exit(f'cloud: {error}')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='cloud', description='A whole OpenStack on this machine. Run it as root.')
    commands = parser.add_subparsers(required=True)
    for name, do, text in (('up', _up, 'start it'), ('down', _down, 'end all that it started'),
                           ('status', _status, 'what runs'),
                           ('shell', _shell, 'a shell on a machine, or beside the services'),
                           ('run', _run, 'run scenarios; starts a cloud for them if none is up')):
        command = commands.add_parser(name, help=text)
        command.set_defaults(do=do)
        if name == 'shell':
            command.add_argument('machine', nargs='?', choices=tuple(places.MACHINES))
        if name == 'run':
            command.add_argument('scenario', nargs='*', metavar='SCENARIO',
                                 choices=[*SCENARIOS, []],
                                 help=f'of {", ".join(SCENARIOS)}; all if none is named')
            command.add_argument('--side', choices=side.SIDES, action='append')
            command.add_argument('--minutes', type=float,
                                 help='as many as fit into them, drawn by the commit, if none is '
                                      'named')
            command.add_argument('--seed', default='', help='another sample')
    command = commands.add_parser('pairs', help='time healthy migrations of both sides')
    command.add_argument('count', nargs='?', type=int, default=20)
    command.set_defaults(do=_pairs)
    return parser


def _begin(tied: bool) -> None:
    space.end()
    for name in FORGOTTEN:
        path = places.home() / name
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    image.start()
    space.begin(tied)


def _up(_words: argparse.Namespace) -> int:
    if not os.environ.get(space.INSIDE):
        if space.running():
            raise processes.Failed('a cloud is up; "tools/cloud down" ends it')
        _begin(tied=False)
        space.enter()
    cloud.bring_up()
    return 0


def _down(_words: argparse.Namespace) -> int:
    print('ended' if space.end() else 'no cloud was up')
    return 0


def _status(_words: argparse.Namespace) -> int:
    space.enter()
    for name, process in cloud.status():
        print(f'{name:18} {process}')
    return 0


def _shell(words: argparse.Namespace) -> int:
    command = machines.ssh(words.machine) if words.machine else ['bash']
    os.execvpe(*space.inside(*command))


def _run(words: argparse.Namespace) -> int:
    if not os.environ.get(space.INSIDE):
        if space.running():
            space.enter()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        _begin(tied=True)
        try:
            return space.call(*sys.argv[1:])
        finally:
            space.end()
    if not (places.home() / 'ready').exists():
        cloud.bring_up()
    beside, outcomes, bad = bystander.there(), list[play.Outcome](), 0
    for one in words.side or side.SIDES:
        side.take(one)
        stage = play.Stage(one, beside)
        for name in _chosen(words):
            outcomes.append(play.play(name, one, SCENARIOS[name], stage))
            bad = report.write(outcomes)
        stage.close()
        # what plain OpenStack has harmed is no witness of what migsafe does
        beside = stage.beside
    print((places.part('report') / 'report.rst').read_text())
    print(f'Timelines: {places.part("report") / "report.html"}')
    return 1 if bad else 0


def _chosen(words: argparse.Namespace) -> list[str]:
    if words.scenario or not words.minutes:
        return list(words.scenario or SCENARIOS)
    seed = words.seed or sampling.seed_of(pathlib.Path(__file__).parent)
    names = gate.drawn(SCENARIOS, words.minutes, seed)
    processes.say(f'of {len(SCENARIOS)} scenarios {len(names)}, seed {seed}: {" ".join(names)}')
    return names


def _pairs(words: argparse.Namespace) -> int:
    space.enter()
    print(pairs.told(pairs.measure(words.count, bystander.there())))
    return 0
