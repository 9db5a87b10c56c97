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
"""Every compute host at once: each nova-compute is asked over the message bus."""

import argparse
import dataclasses
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from oslo_config import cfg

from migsafe import exceptions
from migsafe.cli import bus, compute_services, show
from migsafe.journal.residue import Piece
from migsafe.text import masked

T = TypeVar('T')
TOPIC = 'compute'
SINCE = '1.1'
AT_ONCE = 16
#: More, or longer texts, than an endpoint gives.
MAX_ITEMS, MAX_TEXT = 256, 2000


@dataclasses.dataclass(frozen=True)
class Overview:
    """What is known of one host.

    :param state: armed, unarmed or unknown
    :param detail: what it says of itself, or why nothing is known
    :param more: it has more residue than it gave
    """

    host: str
    state: str
    detail: str = ''
    pid: int | None = None
    plugin: str = ''
    nova: str = ''
    concurrency: str = ''
    seams: int | None = None
    unsettled: int | None = None
    held: int | None = None
    updated: str | None = None
    residue: tuple[Piece, ...] = ()
    more: bool = False


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that asks for it."""
    parser.add_argument(
        '--fleet', nargs='*', metavar='HOST', help='ask nova-compute on these hosts over the '
        'message bus, or on all that [database] connection of the configuration knows; a host '
        'that does not answer is unknown')


def hosts(conf: cfg.ConfigOpts) -> list[str]:
    """Return the compute hosts of the cell whose database Nova's configuration names.

    :raises NoHosts: it names none, or it cannot be read, or there are none
    """
    return sorted(compute_services.Services(conf).names())


def asked(conf: cfg.ConfigOpts, named: Sequence[str]) -> list[Overview]:
    """Ask hosts, several at once, and return what is known of each, by name.

    :param named: none means those that Nova knows
    :raises Unreachable: the message bus is away, so that nobody could be asked
    """
    return each(bus.Bus(conf), sorted(set(named or hosts(conf))), overview, lambda name, error:
                Overview(show.text(name), 'unknown', masked(error)))


def each(transport: bus.Bus, names: Sequence[str], one: Callable[[bus.Bus, str], T],
         unknown: Callable[[str, Exception], T]) -> list[T]:
    """Ask hosts, several at once, and return what comes of each, in the order of their names.

    :param one: asks one host
    :param unknown: what is known of a host if that raises something unforeseen
    :raises MigsafeError: what ``one`` raises, which is about all of them
    """
    line: queue.SimpleQueue[str] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[str, T | exceptions.MigsafeError]] = queue.SimpleQueue()
    for name in names:
        line.put(name)

    def ask() -> None:
        while True:
            try:
                name = line.get_nowait()
            except queue.Empty:
                return
            try:
                answers.put((name, one(transport, name)))
            except exceptions.MigsafeError as error:
                answers.put((name, error))
            except Exception as error:
                # NOTE: one answer for each name, whatever it is, or the command would never end.
                answers.put((name, unknown(name, error)))
    for _number in range(min(AT_ONCE, len(names))):
        threading.Thread(target=ask, daemon=True).start()
    found: dict[str, T] = {}
    for _name in names:
        name, answer = answers.get()
        if isinstance(answer, exceptions.MigsafeError):
            raise answer
        found[name] = answer
    return [found[name] for name in sorted(found)]


def service_of(host: str, topic: str = TOPIC) -> bus.Service:
    """Whom to ask for a host."""
    return bus.Service(
        f'nova-compute {show.text(host)}', topic, host,
        armed='Its live migrations are not protected: install migsafe there, set [migsafe] '
        'enabled = true, and restart it; its log says if that fails.',
        check='Check that it runs ("openstack compute service list"), and its log.')


def without(transport: bus.Bus, service: bus.Service) -> str:
    """Tell a host without an endpoint of migsafe from one that does not know a later call.

    :returns: what it means that there is none; empty if there is one
    :raises NoAnswer: it is not known
    """
    try:
        transport.call(service, 'describe', uuid='00000000-0000-4000-8000-000000000000')
    except bus.Unknown as error:
        return show.text(error)
    return ''


def overview(transport: bus.Bus, host: str) -> Overview:
    """Ask one host; whatever is wrong with it alone is what is known of it.

    :raises Unreachable: the bus is away for all of them
    """
    name, service = show.text(host), service_of(host)
    try:
        try:
            return parse(host, transport.call(service, 'overview', SINCE))
        except bus.TooOld as error:
            unarmed = without(transport, service)
            return Overview(name, 'unarmed' if unarmed else 'unknown',
                            unarmed or show.text(error))
    except bus.Unreachable:
        raise
    except bus.NoAnswer as error:
        return Overview(name, 'unknown', show.text(error))


def parse(host: str, reply: Mapping[str, Any]) -> Overview:
    """What is believed of an answer: each value of its own kind, bounded, and safe to show."""
    name = show.text(host)
    status = reply.get('status')
    if reply.get('host') != host or not isinstance(status, Mapping):
        return Overview(name, 'unknown', 'its answer is not to be understood')
    armed = status.get('armed') is True
    pieces = reply.get('residue')
    pieces = pieces if isinstance(pieces, list) else [None]
    good = [made for piece in pieces[:MAX_ITEMS] if (made := _piece(name, piece))]
    return Overview(
        name, 'armed' if armed else 'unarmed', _text(status.get('detail')),
        _number(status.get('pid')), _text(reply.get('version')), _text(status.get('nova')),
        _text(status.get('concurrency')), _number(status.get('seams')),
        _number(reply.get('unsettled')), _number(reply.get('held')),
        _text(status.get('updated')) or None, tuple(good),
        reply.get('more') is not False or len(good) < len(pieces))


def _piece(host: str, value: Any) -> Piece | None:
    if not isinstance(value, Mapping):
        return None
    return Piece(**{field: _text(value.get(field)) for field in Piece._fields})._replace(host=host)


def _text(value: Any) -> str:
    return show.text(value[:MAX_TEXT]) if isinstance(value, str) else ''


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and \
        0 <= value < 1 << 53 else None
