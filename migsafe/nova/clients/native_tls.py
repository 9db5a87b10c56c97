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
import os
import pathlib

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
    """The fingerprint of the authority, empty if there is none, and each certificate."""
    authority, found = _read(top, AUTHORITY)
    mark = authority.fingerprint(hashes.SHA256()).hex() if authority else ''
    return mark, (found, *(_pair(top, name, key, authority) for name, key in PAIRS.items()))


def _pair(top: str, name: str, key: str, authority: x509.Certificate | None) -> Certificate:
    made, found = _read(top, name)
    if made is None:
        return found
    try:
        os.stat(os.path.join(top, key))
    except FileNotFoundError:
        return Certificate(name, f'{key} is not there')
    except OSError:
        pass  # its directory is not ours to look at; whether QEMU can read it only QEMU knows
    if authority is not None:
        try:
            made.verify_directly_issued_by(authority)
        except (ValueError, TypeError, exceptions.InvalidSignature):
            return Certificate(name, f'it is not signed by the {AUTHORITY} beside it')
    return Certificate(name, names=_names(made))


def _read(top: str, name: str) -> tuple[x509.Certificate | None, Certificate]:
    """One file, and what is wrong with it."""
    try:
        made = x509.load_pem_x509_certificate(pathlib.Path(top, name).read_bytes())
    except FileNotFoundError:
        return None, Certificate(name, 'it is not there', absent=True)
    except OSError:
        return None, Certificate(name, unread=True)
    except ValueError:
        return None, Certificate(name, 'it is no certificate in PEM')
    now = datetime.datetime.now(datetime.UTC)
    if now > made.not_valid_after_utc:
        return None, Certificate(name, f'it expired on {made.not_valid_after_utc:%Y-%m-%d}')
    if now < made.not_valid_before_utc:
        return None, Certificate(name, f'it is valid from {made.not_valid_before_utc:%Y-%m-%d} on')
    return made, Certificate(name)


def _names(made: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that it is for; the common name alone if it has none."""
    try:
        other = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return tuple(str(one.value) for one in
                     made.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME))
    return (*other.get_values_for_type(x509.DNSName),
            *map(str, other.get_values_for_type(x509.IPAddress)))
