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
"""``migsafe evacuate``: prove that a host is dead, and have Nova start its guests elsewhere."""

import argparse
from typing import Any

from oslo_utils import uuidutils

from migsafe import exceptions
from migsafe.cli import base, checker, cloud, cloud_evacuation, codes, evacuating, host_fence, show
from migsafe.fencing import verdict
from migsafe.fencing.turns import Turns
from migsafe.fencing.verdict import HostVerdict, Judgement
from migsafe.preflight.facts import Server
from migsafe.text import shell

WAIT = 600


class NotProven(exceptions.MigsafeError):
    """Its guests may run."""

    message = 'Nothing is evacuated from host %(host)s: %(why)s (%(seen)s). %(next)s'


class Evacuate(base.Command):
    """Evacuate a server, or all servers of a host, once the host is proven dead.

    The host is judged as by "migsafe host explain", and again before each server. With --fence one
    that is not proven dead, or only by the word that it was forced down, is fenced first, as by
    "migsafe host fence", and then forced down in Nova. Then Nova's API is asked, and watched. An
    interrupt ends the watching; Nova goes on, and the same command can be given again. The exit
    code is 4 if all are evacuated, 3 if not.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what is evacuated, and how."""
        parser = super().get_parser(prog_name)
        parser.add_argument('wanted', metavar='HOST|SERVER', help='a compute host, or a server by '
                            'its id or name; if both have this name, it is the host')
        parser.add_argument('--to', metavar='DEST', dest='evacuated_to',
                            help='host to start them on; default: the scheduler chooses')
        parser.add_argument('--fence', action='store_true', help='fence the host, with all that '
                            'runs there, if it is not proven dead by more than a word, and does '
                            'not show that it lives')
        parser.add_argument('--yes', action='store_true', help='do not ask for the name of the '
                            'host before it is fenced')
        host_fence.add_address(parser)
        parser.add_argument('--wait', type=int, default=WAIT, metavar='SECONDS', help='seconds '
                            'to watch (default: %(default)s)')
        parser.add_argument('--os-cloud', metavar='NAME', help='cloud of clouds.yaml; default: '
                            'OS_CLOUD of the environment, or its account')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Prove, ask, watch, and return what came of each server."""
        conf = self.conf
        api, looks = cloud_evacuation.Evacuations(parsed_args.os_cloud), checker.Checker(conf)
        host, servers, instance = _wanted(api, parsed_args.wanted)
        self._prove(parsed_args, conf.migsafe, api, looks, host, instance)
        run = evacuating.Run(api, looks.explain, parsed_args.evacuated_to,
                             conf.migsafe.evacuation_limit, parsed_args.wait)
        with Turns(conf.migsafe.evacuation_lock, conf.migsafe.state_path) as turns:
            run.go(servers, turns)
        good = all(result == evacuating.EVACUATED for result, _ in run.results.values())
        self.exit_code = (codes.FOUND if not good else
                          codes.REPAIRED if servers else codes.CLEAN)
        return (('Server', 'Name', 'From', 'Result', 'Detail'), [
            (one.uuid, one.name, show.text(host), *run.results[one.uuid]) for one in servers])

    def _prove(self, parsed_args: argparse.Namespace, conf: Any,
               api: cloud_evacuation.Evacuations, looks: checker.Checker, host: str,
               instance: str) -> None:
        """See that the host is dead, or make it so.

        :raises NotProven: it is not
        """
        found = looks.explain(host, instance)
        if found.verdict is HostVerdict.DEAD and not (
                parsed_args.fence and found.row.name == verdict.WORD):
            return
        if not parsed_args.fence:
            raise _not_proven(found, ' (or let it be fenced: --fence)')
        made = host_fence.load(conf, parsed_args, looks)
        host_fence.check(found)
        if not parsed_args.yes:
            self.confirm(host_fence.WARNING.format(
                host=show.text(host), verdict=show.text(found)), host)
        done, failed = host_fence.carry_out(conf, made, host,
                                            lambda: looks.explain(host, instance))
        for name, said in done.items():
            self.say(f'{name}: {said}')
        if failed:
            raise _not_proven(found, '. Without --fence it counts as fenced already' if
                              found.verdict is HostVerdict.DEAD else '')
        before = api.service(host)
        api.force_down(host)
        found = looks.explain(host, instance)
        if found.verdict is HostVerdict.ALIVE:
            raise _not_proven(found, _take_back(
                api, host, before is not None and not before.forced_down))
        if found.verdict is not HostVerdict.DEAD:
            raise _not_proven(found)


def _wanted(api: cloud_evacuation.Evacuations,
            wanted: str) -> tuple[str, list[Server], str]:
    """The host, its servers, and the instance if it is only one."""
    if not uuidutils.is_uuid_like(wanted) and api.service(wanted) is not None:
        return wanted, sorted(api.of_host(wanted), key=lambda one: one.uuid), ''
    server = api.server(wanted)
    return server.host, [server], server.uuid


def _take_back(api: cloud_evacuation.Evacuations, host: str, own: bool) -> str:
    """Take the word back that a host is fenced, which lives, and say what became of that.

    :param own: whether it is this run's; any other is its sayer's
    """
    why = 'it was forced down before, by whom is not known'
    if own:
        try:
            api.force_down(host, down=False)
        except cloud.CloudError as error:
            why = f'this command has forced it down, and could not take that back ({error})'
        else:
            return '. That it is forced down, which this command had said, was taken back'
    return (f'. IT IS FORCED DOWN IN NOVA, ALTHOUGH IT LIVES: {why}. Take it back: openstack '
            f'compute service set --up {shell(host)} nova-compute')


def _not_proven(found: Judgement, more: str = '') -> NotProven:
    return NotProven(host=found.host, why=found.row.why, seen='; '.join(found.told),
                     next=f'Next: {found.next or "look at the host"}{more}')
