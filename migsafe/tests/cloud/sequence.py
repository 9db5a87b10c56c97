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
"""Runs commands one after the other: ``NAME COMMAND... --then COMMAND... --then``."""

from __future__ import annotations

import sys

from migsafe.tests.cloud import places, processes


def main(name: str, words: list[str]) -> None:
    """Run each to its end; the output is in log/schema-NAME.log."""
    command: list[str] = []
    for word in words:
        if word != '--then':
            command.append(word)
            continue
        processes.run(str(places.BIN / command[0]), *command[1:], log=f'schema-{name}')
        command = []


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
