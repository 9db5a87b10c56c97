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
"""The checks before a live migration, in the order of their output."""

from __future__ import annotations

from migsafe.preflight.checks import around, disks, hosts, native_tls, path, settings
from migsafe.preflight.checks.base import Check, Finding, Result
from migsafe.preflight.facts import Facts

__all__ = ('CHECKS', 'Check', 'Finding', 'Result', 'look')

CHECKS: tuple[Check, ...] = (
    hosts.ServerState(), hosts.DestinationService(), hosts.Armed(), hosts.SameVersion(),
    hosts.Guest(), hosts.Residue(), hosts.LeftDirectory(), hosts.Clocks(), disks.Disks(),
    disks.Connectors(), disks.Multipath(), disks.Identities(), settings.ServiceToken(),
    settings.Timeouts(), settings.Retries(), path.Route(), path.Certificates(), path.Speed(),
    around.DirtyMemory(), around.Array(), around.NoPath(), around.SameCpu(),
    native_tls.NativeCertificates(), around.KeptFromLvm())


def look(facts: Facts) -> list[Finding]:
    """What all of them find."""
    return [finding for check in CHECKS for finding in check.findings(facts)]
