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
"""A file per instance, on storage that all hosts share, with the host's name.

Say the backup jobs of a deployment read it to know which host to ask. After a
failed migration it must name the source, after a completed one the destination.
"""

import os
import pathlib
import tempfile

from migsafe.resources import base
from migsafe.transaction.move import Move, Point, Residue

DIRECTORY = "/srv/instance-hosts"


class HostFile(base.Resource):
    """The file of an instance names the host that its guest runs on."""

    name = "host_file"

    def __init__(self, directory: str | None = None) -> None:
        self._directory = pathlib.Path(
            directory or os.environ.get("MIGSAFE_HOSTFILE_DIR", DIRECTORY)
        )

    def commit(self, move: Move, point: Point) -> None:
        self._write(move)

    def revert(self, move: Move, point: Point) -> None:
        self._write(move)

    def inspect(self, move: Move) -> list[Residue]:
        # An instance that is deleted, or lives elsewhere by now, is not the
        # business of this transaction any more.
        if move.superseded:
            return []
        found = self._read(move.tx.instance_uuid)
        if found in (None, move.winner):
            return []
        return [Residue("R5", self.name, "", move.winner, f"the file names {found}")]

    def _read(self, instance_uuid: str) -> str | None:
        try:
            return (self._directory / instance_uuid).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None  # no backup was ever wanted for this instance

    def _write(self, move: Move) -> None:
        # Called again after a crash, this finds nothing to do.
        if not self.inspect(move):
            return
        with move.effect(self.name, "write", "", {"host": move.winner}):
            # The new file takes the place of the old one in one step: a
            # reader sees either, and a crash leaves one of the two.
            with tempfile.NamedTemporaryFile(
                "w", dir=self._directory, encoding="utf-8", delete=False
            ) as fresh:
                fresh.write(move.winner + "\n")
            os.replace(fresh.name, self._directory / move.tx.instance_uuid)
