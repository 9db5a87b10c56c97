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
"""Whose a mapping is that an array tells of, where that can be told.

An array names initiators, or hosts by names of its own, or by the names of connectors; which it
is, the inspector says. What cannot be compared is "cannot tell", which is neither yes nor no.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from migsafe.cinder.facts import attachments
from migsafe.cinder.inspectors import Mapping


class Named(Protocol):
    """Whoever a volume can be mapped to: a row of the ledger, a peer, an attachment."""

    @property
    def host(self) -> str:
        """What its connector calls its host."""

    @property
    def initiators(self) -> Iterable[str]:
        """What its connector has of them."""


def to_nobody(inspector: Any, mapping: Mapping) -> bool:
    """Whether it is to no initiator: a target without an access list, an empty group."""
    return not mapping.initiators and (inspector.tells_initiators or not mapping.host)


def is_to(inspector: Any, mapping: Mapping, one: Named) -> bool | None:
    """Whether a mapping is to somebody; None if that cannot be told."""
    names = attachments.lower(one.initiators)
    if to_nobody(inspector, mapping):
        return False
    if names and mapping.initiators:
        return bool(names & mapping.initiators)
    if inspector.tells_hosts and mapping.host and one.host:
        return mapping.host == one.host
    return None


def any_is_to(inspector: Any, found: Iterable[Mapping], one: Named) -> bool | None:
    """Whether one of them is; None if none is for certain and it cannot be told of all."""
    answers = {is_to(inspector, mapping, one) for mapping in found}
    return True if True in answers else None if None in answers else False


def strangers(inspector: Any, found: Iterable[Mapping], known: Sequence[Named], *,
              coming: Sequence[Named] = (), surely: bool = False) -> list[Mapping]:
    """Mappings to somebody who is none of those that are known.

    Each host of which no mapping is recognized accounts for one that cannot be compared. If there
    are more of them, one is somebody else's; which one is not known, so that all are named.

    :param coming: who is known, and need not be mapped yet: accounts for what is recognized, and
        is to nobody else; a group that it is in with others was made by somebody else
    :param surely: something is to be taken away: what cannot be compared is a stranger's then
    """
    left: list[Mapping] = []
    unclear: list[Mapping] = []
    hosts = {one.host or tuple(one.initiators) for one in known}
    for mapping in found:
        if to_nobody(inspector, mapping):
            continue
        answers = [(one, is_to(inspector, mapping, one)) for one in [*known, *coming]]
        having = [one for one, answer in answers if answer]
        if having and (any(one in known for one in having) or not shared([mapping], coming)):
            hosts -= {one.host or tuple(one.initiators) for one in having}
        elif not having and any(answer is None for _one, answer in answers):
            unclear.append(mapping)
        else:
            left.append(mapping)
    if surely or len({mapping.host for mapping in unclear}) > len(hosts):
        left += unclear
    return left


def shared(found: Iterable[Mapping], peers: Sequence[Named]) -> list[Mapping]:
    """Mappings of which a part is to somebody else: an access list, a group of initiators."""
    names = frozenset[str]().union(*(attachments.lower(peer.initiators) for peer in peers))
    return [mapping for mapping in found
            if mapping.initiators & names and mapping.initiators - names]
