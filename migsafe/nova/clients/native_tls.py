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
"""The certificates of QEMU's own TLS on this host, by the names that QEMU has for them."""

from __future__ import annotations

import datetime
import hashlib
import os
import pathlib
from collections.abc import Iterable

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes
from nova.conf import CONF

from migsafe.nova.clients import way
from migsafe.preflight.surroundings import Certificate, NativeTls

#: Where libvirt looks if qemu.conf names no directory (virQEMUDriverConfigSetDefaults), the first
#: that is there.
DIRECTORIES = ('/etc/pki/libvirt-migrate', '/etc/pki/qemu')
AUTHORITY = 'ca-cert.pem'
#: Certificate -> its key.
PAIRS = {'server-cert.pem': 'server-key.pem', 'client-cert.pem': 'client-key.pem'}


def look() -> NativeTls:
    """What is there; nothing is read where it is not used."""
    if not CONF.libvirt.live_migration_with_native_tls:
        return NativeTls(False)
    found = way.qemu_settings()
    top = directory(found or {})
    return NativeTls(True, top, found is not None, *certificates(top))


def directory(settings: dict[str, str]) -> str:
    """Where the certificates are.

    :param settings: of qemu.conf
    """
    migrate, default = DIRECTORIES
    return settings.get('migrate_tls_x509_cert_dir') or (
        migrate if os.path.isdir(migrate) else settings.get('default_tls_x509_cert_dir', default))


def certificates(top: str) -> tuple[str, tuple[Certificate, ...]]:
    """One fingerprint of all authorities, empty if there is none, and each certificate."""
    trusted, found = _read(top, AUTHORITY)
    mark = _mark(trusted) if trusted else ''
    return mark, (found, *(_pair(top, name, key, trusted) for name, key in PAIRS.items()))


def _mark(trusted: Iterable[x509.Certificate]) -> str:
    """The same for the same authorities, in whatever order they stand."""
    return hashlib.sha256(b''.join(sorted(
        {one.fingerprint(hashes.SHA256()) for one in trusted}))).hexdigest()


def _pair(top: str, name: str, key: str, trusted: tuple[x509.Certificate, ...]) -> Certificate:
    chain, found = _read(top, name)
    if not chain:
        return found
    try:
        os.stat(os.path.join(top, key))
    except FileNotFoundError:
        return Certificate(name, f'{key} is not there')
    except OSError:
        pass  # its directory is not ours to look at; whether QEMU can read it only QEMU knows
    if trusted and not _leads(chain, trusted):
        return Certificate(name, f'it is not signed by the {AUTHORITY} beside it, nor does a '
                           'chain through both files lead there')
    return Certificate(name, names=_names(chain[0]))


def _leads(chain: tuple[x509.Certificate, ...], trusted: tuple[x509.Certificate, ...]) -> bool:
    """Whether the first of a file is signed, through any others of both files that are in force,
    by an authority."""
    roots = {one for one in trusted if not _dated(one)}
    known = roots.union(one for one in chain if not _dated(one))
    reached: set[x509.Certificate] = set()
    ahead = {chain[0]}
    while ahead and not ahead & roots:
        reached |= ahead
        ahead = {one for one in known - reached if any(_issued(last, one) for last in ahead)}
    return bool(ahead)


def _issued(made: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        made.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, exceptions.InvalidSignature):
        return False
    return True


def _read(top: str, name: str) -> tuple[tuple[x509.Certificate, ...], Certificate]:
    """All certificates of one file, none if it is of no use, and what is wrong with it.

    QEMU takes each block of PEM. The first counts, the others lead from it to an authority; of
    authorities one that is in force is enough.
    """
    try:
        made = tuple(x509.load_pem_x509_certificates(pathlib.Path(top, name).read_bytes()))
    except FileNotFoundError:
        return (), Certificate(name, 'it is not there', absent=True)
    except OSError:
        return (), Certificate(name, unread=True)
    except ValueError:
        return (), Certificate(name, 'it is no certificate in PEM')
    problems = [_dated(one) for one in (made if name == AUTHORITY else made[:1])]
    if all(problems):
        return (), Certificate(name, problems[0])
    return made, Certificate(name)


def _dated(made: x509.Certificate) -> str:
    """Why it is not in force today; empty if it is."""
    now = datetime.datetime.now(datetime.UTC)
    first, last = _utc(made, 'not_valid_before'), _utc(made, 'not_valid_after')
    if now > last:
        return f'it expired on {last:%Y-%m-%d}'
    return f'it is valid from {first:%Y-%m-%d} on' if now < first else ''


def _utc(made: x509.Certificate, name: str) -> datetime.datetime:
    """A date of a certificate; cryptography before 42 has it without a zone alone."""
    found: datetime.datetime = getattr(made, f'{name}_utc', None) or getattr(made, name).replace(
        tzinfo=datetime.UTC)
    return found


def _names(made: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that it is for; the common name alone if it has none."""
    try:
        other = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return tuple(str(one.value) for one in
                     made.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME))
    return (*other.get_values_for_type(x509.DNSName),
            *map(str, other.get_values_for_type(x509.IPAddress)))
