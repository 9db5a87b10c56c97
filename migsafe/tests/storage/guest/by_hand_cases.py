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
"""Scenarios of real Cinder on real LIO with a mapping that somebody has made by hand.

And with what Cinder cannot tell of: an attachment without a connector, a success that is none, and
two processes of one cinder-volume.
"""

from __future__ import annotations

import os
import signal
import threading

import cinder_cases
import host
import lab
import places
import rtslib_fb as rtslib

BY_HAND = 'iqn.2001-04.com.backup:appliance'
#: Seconds in which recovery has looked again, however long its pauses have become.
LONG = 1500


def report(**found: object) -> None:
    """Whether the appliance still has its disk, and all that is there."""
    there = sorted(cinder_cases.exports())
    lab.report(exports=there, kept=BY_HAND in there, log=cinder_cases.last_words(), **found)


def by_hand() -> None:
    """Map the volume's target to the appliance, as targetcli would."""
    target, = (one for one in rtslib.root.RTSRoot().targets
               if one.wwn.startswith(cinder_cases.PREFIX))
    acl = rtslib.NodeACL(next(target.tpgs), BY_HAND, mode='create')
    rtslib.MappedLUN(acl, 0, 0)


def unmap_by_hand() -> None:
    """Its owner is done with it."""
    for target in rtslib.root.RTSRoot().targets:
        for acl in next(target.tpgs).node_acls:
            if acl.node_wwn == BY_HAND:
                acl.delete()


def a_plain_detach(attachment: str) -> None:
    """An ordinary one of plain Cinder."""
    by_hand()
    before = sorted(cinder_cases.exports())
    cinder_cases.delete(attachment)
    report(before=before)


def settled(seconds: float = cinder_cases.PATIENCE) -> None:
    """Let recovery have its time."""
    places.wait_for(lambda: False, seconds)


def a_detach(attachment: str) -> None:
    """An ordinary one; afterwards the owner unmaps what he has made."""
    by_hand()
    cinder_cases.delete(attachment)
    there = sorted(cinder_cases.exports())
    settled(3 * cinder_cases.PATIENCE)
    kept = BY_HAND in cinder_cases.exports()
    listed = cinder_cases.command('list')
    unmap_by_hand()
    places.wait_for(lambda: not cinder_cases.exports(), LONG)
    report(there=there, kept_later=kept, listed=listed)


def killed(attachment: str, at: int) -> None:
    """A detach, at a point, which is the one of that number."""
    by_hand()
    places.KILL_AT.write_text(str(at))
    with cinder_cases.dying() as died:
        cinder_cases.delete(attachment)
    seen = places.POINTS.read_text().splitlines()
    places.KILL_AT.unlink()
    cinder_cases.start()
    settled()
    report(died=bool(died), points=seen)


def without_a_connector() -> None:
    """A guest on the host of cinder-volume got its volume as Zun, scripts and old instances do.

    cinder-volume is started anew; then a live migration of it fails at its destination.
    """
    lab.shim()
    cinder, volume = cinder_cases.client(), cinder_cases.volume_id()
    cinder.volumes.reserve(volume)
    own = {**cinder_cases.NODE_A, 'host': 'array'}
    info = cinder.volumes.initialize_connection(volume, own)
    cinder.volumes.attach(volume, cinder_cases.INSTANCE, '/dev/vdb', 'rw', 'array')
    path = lab.brick().connect_volume(info['data'])['path']

    def seen() -> list[object]:
        return [sorted(cinder_cases.exports()), host.readable(path)]
    found = {'first': seen()}
    cinder_cases.stop()
    cinder_cases.start()
    settled(3 * cinder_cases.PATIENCE)
    found['restarted'] = seen()
    places.FAULT.write_text('add-initiator 1')
    refused = lab.attempt(lambda: cinder_cases.client().attachments.create(
        volume, cinder_cases.NODE_B, cinder_cases.INSTANCE))
    settled()
    report(faulted=not places.FAULT.exists(), refused=refused, failed=seen(), **found)


def a_success_that_is_none(attachment: str) -> None:
    """LIO's helper says that it has taken the initiator away, and has not; the target stays."""
    cinder_cases.client().attachments.create(
        cinder_cases.volume_id(), cinder_cases.NODE_B, cinder_cases.INSTANCE)
    places.FAULT.write_text('delete-initiator 0')
    cinder_cases.delete(attachment)
    faulted = not places.FAULT.exists()
    at_once = sorted(cinder_cases.exports())
    places.wait_for(lambda: cinder_cases.NODE_A['initiator'] not in cinder_cases.exports(),
                    cinder_cases.PATIENCE)
    report(faulted=faulted, at_once=at_once)


def two_processes() -> None:
    """One hangs after it has mapped the volume; a new one starts; the first one goes on."""
    attachment = cinder_cases.reserve()
    old = places.said(places.STACK)
    places.STOP_AT.write_text('after initialize_connection')
    outcome: list[dict[str, object]] = []
    caller = threading.Thread(target=lambda: outcome.append(lab.attempt(
        lambda: cinder_cases.connect(attachment, cinder_cases.NODE_A))))
    caller.start()
    places.wait_for(lambda: not places.STOP_AT.exists(), cinder_cases.PATIENCE)
    mapped = sorted(cinder_cases.exports())
    cinder_cases.start('beside')
    # it ends before cinder-api has given the call up (rpc_response_timeout)
    places.wait_for(lambda: not cinder_cases.exports(), cinder_cases.PATIENCE / 2)
    between = sorted(cinder_cases.exports())
    os.kill(old, signal.SIGCONT)
    caller.join(cinder_cases.STARTING)
    settled()
    report(mapped=mapped, between=between, outcome=outcome,
           not_given='is not given away' in cinder_cases.words())
