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
"""Outcomes as the laboratory gave them, for tests that need no Nova."""

from migsafe.replay import catalogue, story
from migsafe.replay.outcome import Found, Hurt, Next, Outcome, Step, Verdict
from migsafe.replay.summary import Pair, Report

PATH = ('/dev/disk/by-path/ip-172.24.3.101:3260-iscsi-iqn.1992-08.com.netapp:'
        'sn.5a7alde1aeb11e79f8600a098ac0ce9:vs.11-lun-3')
LEFT = (
    Found('R1', 'the BDM says LUN 3, on node13 the volume is LUN 7', 'node13', 0),
    Found('R1', 'the BDM says LUN 4, on node13 the volume is LUN 8', 'node13', 1),
    Found('R2', 'the attachment of the BDM is for node11', 'node13', 0),
    Found('R2', 'the attachment of the BDM is for node11', 'node13', 1),
    Found('R3', 'attachment for node11', 'node11', 0),
    Found('R3', 'exported to node11 as LUN 3', 'node11', 0),
    Found('R11', 'instance directory on node11', 'node11'))
HARMS = (
    Hurt('foreign_connect', 'node13', 'LUN 3 is 022c1293, not e0c8da7e',
         "a host connected another tenant's LUN"),
    Hurt('foreign_open', 'node13', f'{PATH} is 022c1293',
         "a guest was started on another tenant's disk"))
STEPS = (
    Step('', 'phase', 'live migration'),
    Step('control', 'rpc', 'live_migration'),
    Step('node13', 'neutron', 'show_port', reads=True),
    Step('node13', 'cinder', 'attachments.delete', 1, 'cinder-500', 'ClientException'),
    Step('node13', 'cinder', 'attachments.delete', 1, 'cinder-500', 'ClientException'),
    Step('', 'phase', 'periodic recovery'),
    Step('', 'phase', 'the owner: hard reboot'),
    Step('node13', 'harm', "<b>another tenant's LUN</b> & more"))
WORKS = Next('hard_reboot', True, 'ACTIVE')
OPENS = Next('hard_reboot', True, 'ACTIVE', HARMS)
VERDICTS = (Verdict('node13', 'source', 'settled', 'ABORT', 'runs on the source only'),)


def clean(name, armed=False, **more):
    """An outcome in which all is well."""
    return Outcome(name, armed, **{'fired': True, 'status': 'ACTIVE', 'next': WORKS,
                                   'running_on': ('node13',), **more})


def dirty(name, armed=False, **more):
    """What incident 000 left."""
    return clean(name, armed, **{'residue': LEFT, 'next': OPENS, 'steps': STEPS, **more})


def report(*pairs, problems=(), control=None):
    """A report of (plain, armed) outcomes."""
    fine = Pair(catalogue.CONTROL, clean('no-fault'), clean('no-fault', True))
    made = tuple(Pair(catalogue.find((plain or armed).name), plain, armed)
                 for plain, armed in pairs)
    return Report(story.load(), {'nova': '34.0.0', 'concurrency': 'eventlet',
                                 'migsafe': '0.1.0'}, (7, 8), control or fine, made,
                  tuple(problems), 61.0)
