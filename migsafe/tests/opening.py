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
"""A process that opens or upgrades a journal or a ledger whenever it is told to.

Each line of its input is a JSON list: what to do (``journal``, ``ledger``, ``sync journal`` or
``sync ledger``), then the options of [migsafe]. It answers by a line, ``done`` or the error.
"""

import json
import subprocess
import sys
from typing import Any

ACTIONS = ('journal', 'ledger', 'sync journal', 'sync ledger')


class Processes:
    """Some of them.

    :param count: how many
    """

    def __init__(self, count: int) -> None:
        self._all = [subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-m', 'migsafe.tests.opening'], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            for _ in range(count)]
        for process in self._all:
            self._answer(process)

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def at_once(self, what: str, **options: str) -> list[str]:
        """Have all of them do it at once; return what they answer."""
        for process in self._all:
            assert process.stdin is not None
            print(json.dumps([what, options]), file=process.stdin, flush=True)
        return [self._answer(process) for process in self._all]

    def close(self) -> None:
        """End them."""
        for process in self._all:
            process.communicate(timeout=120)


def main() -> None:
    """Be such a process."""
    from migsafe import journal, ledger
    from migsafe.journal import opening as journal_opening
    from migsafe.ledger import opening as ledger_opening
    from migsafe.tests.unit.journal import base
    print('ready', flush=True)
    for line in sys.stdin:
        what, options = json.loads(line)
        try:
            conf: Any = base.make_conf(options.pop('state_path', '/nonexistent'), **options)
            if what.startswith('sync '):
                {'sync journal': journal_opening, 'sync ledger': ledger_opening}[what].sync(
                    conf, 'node13')
            elif what == 'journal':
                journal.open_journal(conf, 'node13').close()
            else:
                ledger.open_ledger(conf, 'node13').close()
        except Exception as exc:
            print(f'{type(exc).__name__}: {exc}'.replace('\n', ' '), flush=True)
        else:
            print('done', flush=True)


if __name__ == '__main__':
    main()
