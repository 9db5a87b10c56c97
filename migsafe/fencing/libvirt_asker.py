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
"""Asks one libvirt; a process of its own, run as a script: ``libvirt_asker.py URI UUID``.

libvirt waits in C for what does not answer, and holds up whoever shares the process. It prints a
word before it asks, and one for what came of it, with a text behind.
"""

import sys

ASKING, RUNS, IDLE, ANSWERS, REFUSED, SILENT, FAILED = (
    'asking', 'runs', 'idle', 'answers', 'refused', 'silent', 'failed')
#: What the error of a connection says, as the C library has it (strerror, in the C locale).
SAYINGS = (('Connection refused', REFUSED), ('Connection reset', REFUSED),
           ('No route to host', SILENT), ('timed out', SILENT), ('Host is down', SILENT))


def ask(uri: str, guest: str) -> tuple[str, str]:
    """What is there, by libvirt's own word."""
    import libvirt  # type: ignore[import-not-found, unused-ignore]
    libvirt.registerErrorHandler(lambda *_said: None, None)
    try:
        connection = libvirt.openReadOnly(uri)
    except libvirt.libvirtError as error:
        text = str(error)
        return next((word for said, word in SAYINGS if said in text), FAILED), text
    try:
        if not guest:
            return ANSWERS, connection.getHostname()
        active = connection.lookupByUUIDString(guest).isActive()
        return (RUNS if active else IDLE), connection.getHostname()
    except libvirt.libvirtError as error:
        missing = error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN
        return (IDLE if missing else FAILED), str(error)


if __name__ == '__main__':
    print(ASKING, flush=True)
    print(*ask(*sys.argv[1:]), flush=True)
