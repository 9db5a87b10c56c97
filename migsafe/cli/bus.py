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
"""The message bus, for the commands that ask a service: each question ends in time."""

import dataclasses
import functools
import logging
import re
import warnings
from typing import Any

from oslo_config import cfg
from oslo_utils import importutils

from migsafe import exceptions, masking
from migsafe.cli import deadline, show
from migsafe.text import masked

NAMESPACE = 'migsafe'
#: The least version of an endpoint: a service that does not have it has no endpoint at all.
FIRST = '1.0'
#: Seconds for the connection, beside [migsafe] rpc_timeout for the answer.
CONNECT = 10
PORT = 5672
TEXT = 2000
RETRY = re.compile(r'^Connection failed: | \(retrying in [^)]*\)$')
# NOTE: oslo.messaging registers the options of these on the global configuration alone, and reads
# them from that of the transport. Each module has a list of the name of its group.
GLOBAL = (('oslo_messaging._tracing.client', 'oslo_messaging_tracing'),
          ('oslo_messaging._metrics.client', 'oslo_messaging_metrics'))


@dataclasses.dataclass(frozen=True)
class Service:
    """Whom to ask.

    :param name: for messages, such as "cinder-volume node1@array"
    :param armed: how its endpoint comes to be there, for messages
    :param check: what to look at if it does not answer
    """

    name: str
    topic: str
    server: str
    armed: str
    check: str


class NoAnswer(exceptions.MigsafeError):
    """The service did not do it; each subclass says why."""

    message = '%(service)s gave an answer that is not to be understood.'


class Unreachable(NoAnswer):
    """The broker is away, or does not speak, or refuses the password."""

    message = ('The message bus %(bus)s was not reached within %(seconds)d seconds: %(reason)s. '
               'Check that it runs there, and that transport_url in the configuration that '
               'was read is that of %(service)s (--config-file).')


class Silent(NoAnswer):
    """The bus is there, and nobody answered."""

    message = ('%(service)s did not answer within %(seconds)d seconds ([migsafe] rpc_timeout); '
               'the message bus %(bus)s is there. %(check)s')


class Refused(NoAnswer):
    """The service answered with an error of its own; that it was its own says ``remote``."""

    message = '%(service)s answered that it cannot: %(reason)s (%(kind)s)'


class Unknown(NoAnswer):
    """The service runs, and has no endpoint of migsafe."""

    message = ('%(service)s runs without migsafe: it answered, but knows none of its calls. '
               '%(armed)s')


class TooOld(NoAnswer):
    """The service does not know a call."""

    message = ('%(service)s runs an older migsafe than this command, or none: it does not know '
               'the call %(method)s (version %(version)s). Nothing was done. Upgrade migsafe '
               'there and restart it.')


class _Last(logging.Handler):
    """Keeps what the driver of the bus says last, which is why it cannot connect."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ''

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text, without secrets."""
        self.text = RETRY.sub('', masking.mask(record.getMessage()[:TEXT]))


@functools.cache
def _messaging() -> tuple[Any, _Last]:
    """Import oslo.messaging, without what it and what it imports print."""
    # NOTE: imported only where it is needed. Its RPC server brings oslo.service with it, and that
    # brings eventlet, if it is there: both say so on standard error.
    logging.getLogger('oslo_service').setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        import oslo_messaging
    last, logger = _Last(), logging.getLogger('oslo.messaging')
    logger.addHandler(last)
    logger.propagate = False
    return oslo_messaging, last


class Bus:
    """Asks the endpoints of migsafe in services.

    :param conf: with the transport_url of these services
    :raises ConfigError: it has none that can be used
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        messaging, self._last = _messaging()
        self._messaging, self._seconds = messaging, conf.migsafe.rpc_timeout
        try:
            for module, group in GLOBAL:
                conf.register_opts(getattr(importutils.try_import(module), group, []), group=group)
            self._transport = messaging.get_rpc_transport(conf)
            url = messaging.TransportURL.parse(conf)
        except Exception as error:
            raise _no_transport(masked(error)) from None
        # NOTE: without the option oslo.messaging goes to RabbitMQ on this host, whose it may be.
        if not url.hosts and url.transport != 'fake':
            raise _no_transport('it is not set, or names no host')
        self._name = ', '.join(f'{host.hostname}:{host.port or PORT}' for host in url.hosts)

    def call(self, service: Service, method: str, since: str = FIRST,
             seconds: float | None = None, **arguments: Any) -> dict[str, Any]:
        """Make one call; it ends within ``seconds`` and ``CONNECT`` seconds.

        :param since: the version of the endpoint that has it
        :param seconds: to wait for an answer; None: [migsafe] rpc_timeout
        :raises NoAnswer: with the cause
        """
        seconds = self._seconds if seconds is None else seconds
        target = self._messaging.Target(topic=service.topic, server=service.server,
                                        namespace=NAMESPACE, version=FIRST)
        try:
            client = self._messaging.get_rpc_client(
                self._transport, target, timeout=seconds, retry=1)
            found = deadline.run(
                lambda: client.prepare(version=since).call({}, method, **arguments),
                seconds + CONNECT)
        except Exception as error:
            raise self._translated(error, service, method, since, seconds) from None
        if not isinstance(found, dict):
            raise NoAnswer(service=service.name)
        return found

    def _translated(self, error: Exception, service: Service, method: str,
                    since: str, seconds: float) -> NoAnswer:
        """The one place where what the bus or the other side raises becomes an error of ours."""
        known = self._messaging
        # NOTE: over a real bus the error of the other side comes as a RemoteError, which names
        # its class and quotes its traceback.
        kind = getattr(error, 'exc_type', type(error).__name__)
        if kind == 'UnsupportedVersion':
            return Unknown(service=service.name, armed=service.armed) if since == FIRST \
                else TooOld(service=service.name, method=method, version=since)
        if isinstance(error, known.MessagingTimeout):
            return Silent(service=service.name, seconds=seconds, bus=self._name,
                          check=service.check)
        if isinstance(error, deadline.Overdue | known.MessageDeliveryFailure):
            why = self._last.text or 'connections are accepted, but nothing answers there' \
                if isinstance(error, deadline.Overdue) else masked(error)
            return Unreachable(bus=self._name, seconds=seconds + CONNECT,
                               reason=show.text(why), service=service.name)
        said = error.value if isinstance(error, known.RemoteError) else error
        return Refused(service=service.name, kind=show.text(kind)[:80],
                       reason=show.text(str(said)[:TEXT]),
                       remote=isinstance(error, known.RemoteError))


def _no_transport(reason: str) -> exceptions.ConfigError:
    return exceptions.ConfigError(
        group='DEFAULT', option='transport_url', reason=f'{reason}. Name the configuration of the '
        'service with --config-file')
