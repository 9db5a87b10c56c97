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
"""Files as they were before a change, and a marker that names them until it has come to its end.

What was there before is kept beside each file. The marker names the backups from the first write
to the end of the check, so that whoever comes after a crash puts them back, byte for byte.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from migsafe.lvm import errors, facts
from migsafe.lvm import files as lvm_files

PRIVATE: lvm_files.Mode = (0o600, None, None)


@dataclasses.dataclass(frozen=True)
class Backups:
    """Those of one directory.

    :param etc: /etc/lvm
    """

    etc: str = facts.ETC

    @property
    def marker(self) -> pathlib.Path:
        """Where it is noted what is under way."""
        return pathlib.Path(self.etc, facts.MARKER)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one at work here.

        :raises errors.LvmError: if somebody else is
        """
        fd = os.open(self.etc, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise errors.LvmError('Another "migsafe lvm check --apply" is at work on this '
                                      'host.') from error
            yield
        finally:
            os.close(fd)

    def keep(self, files: list[pathlib.Path]) -> list[str]:
        """Back files up, and note that in the marker, before anything is changed.

        :returns: the copies
        """
        entries: list[dict[str, Any]] = []
        for path in files:
            entry: dict[str, Any] = {'path': str(path), 'backup': None}
            if path.exists():
                data, (mode, uid, gid) = path.read_bytes(), lvm_files.mode_of(path)
                backup = lvm_files.beside(path)
                lvm_files.write(backup, data, (mode, uid, gid))
                entry |= {'backup': str(backup), 'mode': mode, 'uid': uid, 'gid': gid,
                          'sha256': hashlib.sha256(data).hexdigest()}
            entries.append(entry)
        lvm_files.write(self.marker, json.dumps(entries).encode(), PRIVATE)
        return [entry['backup'] for entry in entries if entry['backup']]

    def done(self) -> None:
        """The change stays."""
        lvm_files.remove(self.marker)

    def put_back(self, reason: str = '') -> list[str]:
        """Have each file be what it was, and take away the marker.

        :param reason: what is wrong with what is in them now. Without one they were cut off, and
            are kept beside, because nobody knows who has written them since
        :returns: the files
        :raises errors.NotRestored: if that does not work; then the marker stays
        """
        try:
            entries = json.loads(self.marker.read_bytes())
            for entry in entries:
                now = pathlib.Path(entry['path'])
                if not reason and now.exists():
                    mode = lvm_files.mode_of(now)
                    lvm_files.write(lvm_files.beside(now), now.read_bytes(), mode)
                self._restore(entry, reason or 'it was cut off')
        except (ValueError, KeyError, TypeError, OSError) as error:
            why = str(error) if isinstance(error, OSError) else f'{self.marker} is damaged'
            raise errors.NotRestored(path=self.etc, reason=reason or 'it was cut off', error=why,
                                     backup=f'{self.etc}/*.migsafe-*') from error
        lvm_files.remove(self.marker)
        return [str(entry['path']) for entry in entries]

    def _restore(self, entry: dict[str, Any], reason: str) -> None:
        path = pathlib.Path(entry['path'])
        try:
            if entry['backup'] is None:
                lvm_files.remove(path)
                return
            data = pathlib.Path(entry['backup']).read_bytes()
            if hashlib.sha256(data).hexdigest() != entry['sha256']:
                raise OSError('the backup is not what was kept')
            lvm_files.write(path, data, (entry['mode'], entry['uid'], entry['gid']))
        except OSError as error:
            raise errors.NotRestored(path=str(path), reason=reason, error=str(error),
                                     backup=str(entry['backup'])) from error
