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
"""``migsafe host fence``: power off a host that is not known to live."""

import argparse
import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from migsafe import exceptions
from migsafe.cli import base, checker, codes, show
from migsafe.fencing import fences
from migsafe.fencing.facts import Facts, Life
from migsafe.fencing.fence_log import FenceLog
from migsafe.fencing.fences.base import Fence
from migsafe.fencing.turns import Lost, Turns
from migsafe.fencing.verdict import MORE_LOOKS, TABLE, HostVerdict, Judgement

WARNING = """\
You are about to fence {host}: what runs there ends at once, whether it is well or not.
{verdict}
Type the name of the host to go on: """


class NotFenced(exceptions.MigsafeError):
    """It is not known to be in need of it."""

    message = 'Host %(host)s is not fenced: %(why)s (%(seen)s). %(next)s'


class Interrupted(exceptions.MigsafeError):
    """What became of it is not known here."""

    message = ('The fence %(fence)s of host %(host)s was interrupted: the host may be fenced or '
               'not, and nothing else was done. "migsafe host explain %(shell:host)s" looks; the '
               'same command can be given again.')


class HostFence(base.One):
    """Fence a host with the [migsafe] fences, and see that it is.

    A host that shows that it lives is not fenced, and none while whoever looks sees no other host,
    or too many are silent. The exit code is 4 if a fence has seen that the host is fenced: one
    whose BMC is dead can be cut off from its storage.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the host."""
        parser = super().get_parser(prog_name)
        parser.add_argument('fenced_host', metavar='HOST', help='as "openstack compute service '
                            'list" names it')
        parser.add_argument('--yes', action='store_true', help='do not ask for its name')
        add_address(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Look, fence, look again, and return what came of it."""
        host, conf = parsed_args.fenced_host, self.conf
        looks = checker.Checker(conf)
        made = load(conf.migsafe, parsed_args, looks)
        before = looks.explain(host)
        check(before)
        if not parsed_args.yes:
            self.confirm(WARNING.format(host=show.text(host), verdict=show.text(before)), host)
        done, failed = carry_out(conf.migsafe, made, host, lambda: looks.explain(host))
        after = looks.explain(host)
        self.exit_code = codes.ERROR if failed else codes.REPAIRED
        if after.verdict is not HostVerdict.DEAD:
            self.say(f'Next: {show.text(after.next)}')
        return (('Host', 'Before', 'Fences', 'Verdict', 'Row', 'Next'),
                (show.text(host), before.verdict.value,
                 '; '.join(f'{name}: {said}' for name, said in done.items()),
                 after.verdict.value, after.row.name, after.next or None))


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add what only an operator may know of the host."""
    parser.add_argument(
        '--client-address', action='append', default=[], metavar='ADDRESS',
        type=lambda text: str(ipaddress.ip_address(text)),
        help='address of the host on a network of the storage, for the fence "storage"; it can be '
        'given several times, and counts beside those in the connectors of the host')


def load(conf: Any, parsed_args: argparse.Namespace, looks: checker.Checker) -> list[Fence]:
    """The fences, with what the operator and Nova say of the host.

    :param conf: the options of [migsafe]
    :raises ConfigError: it names none, or one that cannot be used
    """
    made = fences.load(conf)
    for one in made:
        one.addresses = parsed_args.client_address
        one.with_other_disks = looks.services.with_other_disks
    return made


def carry_out(conf: Any, made: Iterable[Fence], host: str,
              look: Callable[[], Judgement]) -> tuple[dict[str, str], bool]:
    """Try each fence on a host, one command at a time, and log it.

    The host is looked at once no other command is at it any more, and again before each further
    fence: while a name was typed or a lock was waited for, it may have come back.

    :param conf: the options of [migsafe]
    :returns: name of the fence -> what came of it; whether none has seen that it is fenced
    :raises NotFenced: it must not be fenced by now; nothing was done
    :raises Lost: another command may be at it by now; nothing was done
    :raises Busy: another command fences from this machine
    :raises Fenced: another command fences this host, wherever it runs
    :raises Interrupted: by its operator
    :raises TooMany: no more hosts may be fenced now
    """
    done: dict[str, str] = {}
    failed = True
    log = FenceLog(conf.state_path, conf.fence_limit)
    with Turns(conf.evacuation_lock, conf.state_path) as turns, turns.at(host) as still, \
            log.turn(host, base.operator()):
        for one in made:
            try:
                check(look())
                still()
                said = one.fence(host)
            except (NotFenced, Lost) as error:
                log.add(host, 'left', fence=one.name, detail=show.text(error))
                if not done:
                    raise
                done[one.name] = f'FAILED: {show.text(error)}'
                continue
            except exceptions.MigsafeError as error:
                log.add(host, 'failed', fence=one.name, detail=show.text(error))
                done[one.name] = f'FAILED: {show.text(error)}'
                continue
            except KeyboardInterrupt:
                log.add(host, 'interrupted', fence=one.name)
                raise Interrupted(host=host, fence=one.name) from None
            log.add(host, 'done', fence=one.name, detail=said)
            done[one.name], failed = show.text(said), False
    return done, failed


#: What speaks against a fence, and the row of the table of verdicts that says so in words.
AGAINST: tuple[tuple[Callable[[Facts], bool], str], ...] = (
    (lambda found: found.life is Life.PROVEN, 'host-lives'),
    (lambda found: found.blind, 'blind'),
    (lambda found: found.storm, 'storm'),
    (lambda found: found.alone, 'alone'),
    (lambda found: not found.enough, MORE_LOOKS),
)


def check(found: Judgement) -> None:
    """Fence only what does not show that it lives, and only with open eyes.

    :raises NotFenced: with the reason
    """
    for speaks, name in AGAINST:
        if speaks(found.found):
            row = next(row for row in TABLE if row.name == name)
            raise NotFenced(host=found.host, why=row.why, seen='; '.join(found.told),
                            next=f'Next: {row.to_do(found.host)}')
    if not found.found.stale and not found.found.declared:
        raise NotFenced(host=found.host, seen='; '.join(found.told), why=(
            'Nova has a heartbeat of it of late, or was not asked for one'), next=(
            'Next: wait until that is older than [DEFAULT] service_down_time; [migsafe] probes '
            'has to name nova_service. If it hangs and goes on reporting, switch it off by hand'))
