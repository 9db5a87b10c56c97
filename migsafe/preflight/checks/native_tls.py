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
"""Checks of QEMU's own TLS, by which the memory of a guest goes."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.preflight.checks.around import AroundCheck
from migsafe.preflight.checks.base import Finding, Result
from migsafe.preflight.facts import Facts
from migsafe.preflight.surroundings import Certificate, NativeTls
from migsafe.text import shell

R = Result
#: Side -> the certificates that its QEMU uses.
NEEDED = (('source', ('ca-cert.pem', 'client-cert.pem')),
          ('destination', ('ca-cert.pem', 'server-cert.pem')))


class NativeCertificates(AroundCheck):
    """Whether the two QEMU will accept one another's certificates."""

    code = 'native-tls'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """Each certificate that is needed, and whether they fit."""
        told = [side.around.tls for side in facts.sides if side.around]
        here, there = told[0], told[-1]
        if here is not None and not here.used:
            return
        if here is None or there is None:
            yield self.made(R.UNKNOWN, 'a host does not say which certificates it has')
            return
        if not there.used:
            yield self.made(
                R.UNKNOWN, f'{facts.destination.name} does not use it, and {facts.source.name} '
                'does, so that its certificates were not looked at', '[libvirt] '
                f'live_migration_with_native_tls = true on {shell(facts.destination.name)}')
            return
        for (name, needed), tls in zip(NEEDED, (here, there), strict=True):
            for one in tls.certificates:
                if one.file in needed:
                    yield from self._one(getattr(facts, name).name, tls, one)
        yield from self._together(facts, here, there)

    def _one(self, host: str, tls: NativeTls, one: Certificate) -> Iterator[Finding]:
        where = f'{host}: {tls.directory}/{one.file}' + (
            '' if tls.known else ' (as the place is without a qemu.conf, which was not read)')
        if one.unread:
            yield self.made(R.UNKNOWN, f'{where} cannot be read by nova-compute',
                            f'virt-pki-validate on {shell(host)}, as root')
        elif one.absent and one.file == 'client-cert.pem':
            yield self.made(
                R.WARNING, f'{where} is not there, and the destination asks for it unless its '
                'qemu.conf has migrate_tls_x509_verify = 0', 'make one, signed by the ca-cert.pem '
                'of the destination')
        elif one.problem:
            yield self.made(R.REFUSED if tls.known else R.UNKNOWN, f'{where}: {one.problem}',
                            f'make it anew on {shell(host)}; see "Secure live migration with '
                            'QEMU-native TLS" in the documents of Nova')

    def _together(self, facts: Facts, here: NativeTls, there: NativeTls) -> Iterator[Finding]:
        if here.authority and there.authority and here.authority != there.authority:
            yield self.made(
                R.WARNING, 'ca-cert.pem is not the same on both hosts, so that they accept one '
                'another only if each is a bundle that has the other', 'give both hosts the same')
        names = next((one.names for one in there.certificates if one.file == 'server-cert.pem'),
                     ())
        if names and facts.path:
            yield from self._named(facts.destination.name, names, facts.path.inbound)

    def _named(self, host: str, names: tuple[str, ...], inbound: str) -> Iterator[Finding]:
        """LibvirtDriver._live_migration_operation gives a migrate_uri only with an inbound
        address; else the destination's libvirt makes one (qemuMigrationDstPrepareDirect)."""
        told = f'server-cert.pem of {host} is for {", ".join(names[:5])}'
        if not inbound:
            yield self.made(
                R.NOTE, f'{told}; as {host} has no live_migration_inbound_addr, one of them must '
                'be what `virsh hostname` says there, or migration_host of its qemu.conf')
        elif not any(fits(name, inbound) for name in names):
            yield self.made(
                R.WARNING, f'{told}, and the source expects it to be for {inbound}: QEMU refuses '
                'it', 'make it anew with that name as a subjectAltName')

    def fine(self, facts: Facts) -> str:
        """Whether it is used."""
        tls = facts.source.around.tls if facts.source.around else None
        return f'the certificates in {tls.directory} fit' if tls and tls.used else (
            'it is not used')


def fits(name: str, address: str) -> bool:
    """Whether a certificate for a name is one for an address; a star stands for one label."""
    name, address = name.lower(), address.lower()
    return name == address or name.startswith('*.') and \
        address.partition('.')[2] == name[2:] != ''
