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
"""RPC client to the plugin on other hosts, with the validation of its answers.

Everything that comes from the bus is checked here: an answer that is not
understood counts as no answer, and no answer means UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import oslo_messaging as messaging
from nova import context as nova_context
from nova import objects, rpc
from nova.compute import rpcapi
from oslo_log import log as logging
from oslo_utils import uuidutils

from migsafe.fencing.probes.base import Answer
from migsafe.fencing.signs import Sign
from migsafe.text import masked
from migsafe.transaction import answers
from migsafe.transaction.answers import text
from migsafe.transaction.evidence import GuestState, HostEvidence

LOG = logging.getLogger(__name__)
NAMESPACE = 'migsafe'
VERSION = '1.0'
#: Of what is asked for a command alone.
COMMANDS = '1.3'
#: Longer than any name of a host.
MAX_ADDRESS = 255
#: What a peer may say of a transaction; empty where it has none.
WORDS = {'state': ('', 'open', 'settled'), 'verdict': ('', 'COMMIT', 'ABORT', 'HOLD')}
#: More volumes than any real answer has.
MAX_ITEMS = 256
#: Without a number oslo.messaging tries for ever to send while the broker is
#: down, whatever the time-out; one is enough for a connection gone stale.
RETRIES = 1
#: What a server says of a namespace that it does not have (oslo_messaging.rpc.dispatcher).
WITHOUT = 'UnsupportedVersion'
#: The end of the name of an exception of Nova's that came over the bus (oslo_messaging).
REMOTE = '_Remote'
#: The version of Nova's compute RPC with which hosts have a second server.
ALTERNATIVE_SINCE = '6.5'


def _strings(value: Any) -> dict[str, str]:
    """A dictionary of strings, or {} for anything else."""
    if not isinstance(value, Mapping) or len(value) > MAX_ITEMS:
        return {}
    return {text(key): text(item) for key, item in value.items()
            if isinstance(key, str) and isinstance(item, str)}


def _lists(value: Any) -> dict[str, list[str]]:
    """A dictionary of lists of strings, or {} for anything else."""
    if not isinstance(value, Mapping) or len(value) > MAX_ITEMS:
        return {}
    return {text(key): [text(i) for i in item[:MAX_ITEMS] if text(i)]
            for key, item in value.items()
            if isinstance(key, str) and isinstance(item, list)}


def answered(error: Exception) -> bool:
    """Whether a call of Nova's has failed on the other side, which is done with it.

    What was raised there bears the name that it is sent with. All else was raised here, and says
    nothing of what the other side does.
    """
    return isinstance(error, messaging.RemoteError) or type(error).__name__.endswith(REMOTE)


def _kind(error: Exception) -> str:
    """Its class, which for a peer without the plugin is :data:`WITHOUT`;
    an error of the other side comes wrapped in a RemoteError."""
    return text(getattr(error, 'exc_type', ''))[:80] or type(error).__name__


def parse_description(reply: Any) -> dict[str, Any] | None:
    """A peer's view of a transaction; None for what is not understood."""
    if not isinstance(reply, Mapping) or any(
            not isinstance(reply.get(name), bool) for name in ('known', 'live')):
        return None
    if not (reply['known'] or reply['live']):
        # Of what it does not know there is nothing to say, and the first version did not.
        reply = dict.fromkeys(WORDS, '') | dict(reply)
    if any(reply.get(name) not in words for name, words in WORDS.items()):
        return None
    return {'known': reply['known'], 'live': reply['live'],
            'state': reply['state'], 'verdict': reply['verdict'],
            'version': text(reply.get('version')),
            'attachments': _lists(reply.get('attachments')),
            'unsure': _lists({'': reply.get('unsure')}).get('', [])}


def parse_release(reply: Any) -> dict[str, Any]:
    """What a peer says it removed and what it kept."""
    if not isinstance(reply, Mapping) or reply.get('state') not in (
            'done', 'busy', 'refused'):
        return {'state': 'refused', 'reason': 'answer was not understood'}
    parsed: dict[str, Any] = {'state': reply['state'],
                              'reason': text(reply.get('reason'))}
    kept = reply.get('kept')
    if isinstance(kept, Mapping) and len(_strings(kept)) == len(kept):
        parsed['kept'] = _strings(kept)
    return parsed


def topic(client: Any) -> str:
    """Where a nova-compute listens for as long as it works on anything.

    Since Nova 34 one that is stopped gracefully hears nothing more on ``compute``, and finishes
    its migrations over a second server, on which it has the same endpoints. Nova's own calls
    choose as it is done here, see ComputeAPI.prepare_for_alt_rpcserver.

    :param client: Nova's RPC client for compute hosts, which knows the oldest one's version
    """
    alternative = getattr(rpcapi, 'RPC_TOPIC_ALT', '')
    return alternative if alternative and client.can_send_version(
        ALTERNATIVE_SINCE) else rpcapi.RPC_TOPIC


class Peer:
    """See :class:`migsafe.transaction.clients.Peer`.

    :param timeout: seconds to wait for an answer ([migsafe] rpc_timeout)
    :param nova: Nova's ComputeAPI; without it the topic is that of every release
    """

    def __init__(self, timeout: int, nova: Any = None) -> None:
        self._timeout, self._nova = timeout, nova

    def _call(self, host: str, method: str, within: float = 1.0, since: str = VERSION,
              **kwargs: Any) -> Any:
        context = nova_context.get_admin_context()
        client = rpc.get_client(messaging.Target(
            topic=(topic(self._nova.router.client(context)) if self._nova
                   else rpcapi.RPC_TOPIC), namespace=NAMESPACE, version=since))
        prepared = client.prepare(server=host, timeout=self._timeout * within,
                                  retry=RETRIES)
        return prepared.call(context, method, **kwargs)

    def _ask(self, host: str, method: str, **kwargs: Any
             ) -> tuple[Any, str]:
        """(answer, why there is none)."""
        if not host:
            # A message without a server would go to any compute host.
            return None, 'no host to ask'
        try:
            return self._call(host, method, **kwargs), ''
        except Exception as error:
            # A peer without the plugin, an older one, one that is down, a
            # broker that is down: all of them are just no answer.
            LOG.info('%s of %s got no answer: %s', method, host,
                     masked(error))
            # The text of some errors differs each time (a message id): what
            # is journalled must not, or it grows with every attempt.
            return None, f'no answer from migsafe on {host} ({_kind(error)})'

    def evidence(self, host: str, uuid: str, instance_uuid: str
                 ) -> HostEvidence:
        reply, why = self._ask(host, 'guest_evidence', uuid=uuid,
                               instance_uuid=instance_uuid)
        if reply is None:
            return HostEvidence(host, GuestState.UNKNOWN, detail=why, unarmed=_without(why))
        return answers.parse(host, reply)

    def look(self, host: str, instance_uuid: str, seconds: float) -> Answer:
        # A host is asked here whether it lives, and only its silence may speak for its death: a
        # broker that is away is none.
        asked = instance_uuid or uuidutils.generate_uuid()
        try:
            reply = self._call(host, 'guest_evidence', seconds / self._timeout,
                               uuid=asked, instance_uuid=asked)
        except messaging.MessagingTimeout:
            return Answer(Sign.SILENT, f'no answer from nova-compute within {seconds:g} seconds')
        except Exception as error:
            kind = _kind(error)
            if kind == WITHOUT or isinstance(error, messaging.RemoteError):
                return Answer(Sign.ANSWERS, f'nova-compute answers ({kind})')
            return Answer(Sign.NOTHING, f'it could not be asked ({kind})')
        return answers.sign(host, instance_uuid, reply)

    def describe(self, host: str, uuid: str,
                 within: float = 1.0) -> Mapping[str, Any] | None:
        return parse_description(
            self._ask(host, 'describe', within=within, uuid=uuid)[0])

    def unarmed(self, host: str, uuid: str, within: float = 1.0) -> bool:
        return _without(self._ask(host, 'describe', within=within, uuid=uuid)[1])

    def inbound(self, host: str) -> tuple[str, tuple[int, int] | None] | None:
        """The address and the ports of QEMU at which a host expects guests.

        :returns: None without an answer; no ports if the host does not know them
        """
        reply = self._ask(host, 'inbound', since=COMMANDS)[0]
        found = reply.get('inbound') if isinstance(reply, Mapping) else None
        if not isinstance(found, str) or not found.isprintable():
            return None
        return found[:MAX_ADDRESS], _ports(reply.get('qemu_ports'))

    def let_go(self, host: str, instance_uuid: str, volume_id: str) -> None:
        # Nova's own message, which it sends when it rolls back. After an error it does not say
        # whether the device is gone; to ask once more does no harm where it is, and is no use
        # where nothing was answered and the first may still be at it.
        context = nova_context.get_admin_context()
        instance = objects.Instance.get_by_uuid(context, instance_uuid)
        try:
            self._nova.remove_volume_connection(context, instance, volume_id, host)
        except Exception as error:
            if not answered(error):
                raise
            LOG.info('%s is asked once more to let go of volume %s: %s', host, volume_id,
                     masked(error))
            self._nova.remove_volume_connection(context, instance, volume_id, host)

    def release(self, host: str, uuid: str, instance_uuid: str,
                verdict: str) -> Mapping[str, Any]:
        reply, why = self._ask(host, 'release', uuid=uuid,
                               instance_uuid=instance_uuid, verdict=verdict)
        if reply is None:
            return {'state': 'refused', 'reason': why}
        return parse_release(reply)


def _without(why: str) -> bool:
    """Whether a host has answered that it has no migsafe, by what :meth:`Peer._ask` says."""
    return why.endswith(f'({WITHOUT})')


def _ports(value: Any) -> tuple[int, int] | None:
    """Two numbers of ports, or None."""
    if isinstance(value, list | tuple) and len(value) == 2 and all(
            type(one) is int and 0 < one < 1 << 16 for one in value):
        return value[0], value[1]
    return None
