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
"""Checks of nova-compute's options on both hosts: what contradicts one another, and the token."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from migsafe.preflight.checks.base import Check, Finding, Result
from migsafe.preflight.facts import Facts
from migsafe.preflight.report import Options

R = Result
#: (whether it is so, what contradicts what, what to do); times in seconds.
TIMES: tuple[tuple[Callable[[Options], bool], str, str], ...] = (
    (lambda o: o.long_rpc_timeout < o.rpc_response_timeout,
     'long_rpc_timeout ({o.long_rpc_timeout}) is less than rpc_response_timeout '
     '({o.rpc_response_timeout}), so that the longest calls of a migration have the least time',
     '[DEFAULT] long_rpc_timeout = 1800'),
    (lambda o: o.rpc_response_timeout < 2 * o.migsafe_rpc_timeout,
     '[migsafe] rpc_timeout ({o.migsafe_rpc_timeout}) is more than half of rpc_response_timeout '
     '({o.rpc_response_timeout}), so that a source may give up while its destination still asks',
     '[migsafe] rpc_timeout = 15, [DEFAULT] rpc_response_timeout = 60'),
    (lambda o: 0 < o.completion_timeout <= o.downtime_steps * o.downtime_delay,
     'live_migration_completion_timeout ({o.completion_timeout}) is not more than '
     'live_migration_downtime_steps times live_migration_downtime_delay ({o.downtime_steps} times '
     '{o.downtime_delay}), so that a migration is ended before its longest pause was tried',
     '[libvirt] live_migration_completion_timeout = 800'),
    (lambda o: o.completion_timeout == 0,
     'live_migration_completion_timeout is 0, so that a migration that never converges never '
     'ends', '[libvirt] live_migration_completion_timeout = 800'),
)
#: Service -> the option by which Nova tries again after a connection that failed.
AGAIN = {'cinder': 'http_retries', 'glance': 'num_retries', 'neutron': 'http_retries',
         'placement': 'connect_retries'}


def contradictions(options: Options) -> Iterator[tuple[str, str]]:
    """What contradicts what on one host, and what to do about it."""
    for wrong, text, remedy in TIMES:
        if wrong(options):
            yield text.format(o=options), remedy


class Timeouts(Check):
    """Whether time-outs of one host contradict one another, or those of the other one."""

    code = 'timeouts'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """Each rule on each host."""
        seen = set()
        for side in facts.sides:
            options = side.report.options if side.report else Options()
            seen.add((options.rpc_response_timeout, options.long_rpc_timeout))
            for text, remedy in contradictions(options):
                yield self.made(R.WARNING, f'{side.name}: {text}', remedy)
        if len(seen) > 1:
            yield self.made(R.WARNING, 'rpc_response_timeout and long_rpc_timeout differ between '
                            'the hosts', 'give both hosts the same values')

    def fine(self, facts: Facts) -> str:
        """What cannot be seen from here, and what to compare."""
        return ('those of a load balancer cannot be seen: "timeout client" and "timeout server" '
                'of haproxy have to be longer than the longest call to the API behind it takes, '
                'and than heartbeat_timeout_threshold for RabbitMQ')


class ServiceToken(Check):
    """Whether nova-compute shows that it is Nova, for which Cinder asks to delete attachments."""

    code = 'service-token'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """On each host."""
        for side in facts.sides:
            if side.report and not side.report.options.service_token:
                yield self.made(
                    R.WARNING, f'{side.name} sends no service token. Cinder refuses to delete '
                    'attachments in use without one (OSSA-2023-003), and the token of a user may '
                    'expire before a long migration ends', '[service_user] '
                    'send_service_user_token = true, with auth_type and the account of Nova')


class Retries(Check):
    """Whether a call is tried again on a new connection when the old one was cut."""

    code = 'retries'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """The services of which a call is made once and no more, where migsafe makes it once."""
        for side in facts.sides:
            services = side.report.options.services if side.report and \
                not side.report.options.call_retries else ()
            for one in services:
                if not one.connect_retries:
                    yield self._once(side.name, one.group, 'a connection that was cut',
                                     AGAIN.get(one.group, 'connect_retries'))
            never = sorted(one.group for one in services if one.status_retries == 0)
            if never:
                yield self._once(side.name, ', '.join(never), 'the answer 503',
                                 'status_code_retries')

    def _once(self, host: str, service: str, after: str, option: str) -> Finding:
        return self.made(R.NOTE, f'{host} makes a call to {service} once and not again after '
                         f'{after}',
                         f'[migsafe] call_retries = 3, or {option} = 3 in the group of each')

    def fine(self, facts: Facts) -> str:
        """Which calls that are."""
        return 'those that may be repeated; see [migsafe] call_retries'
