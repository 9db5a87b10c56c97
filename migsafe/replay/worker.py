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
"""The child process: one Nova, plain or armed, that replays fault after fault.

It has a process of its own because Nova's fixtures, and the seams of migsafe, change modules
of the whole process. What it has to say goes as lines of JSON to the file descriptor that it is
given; Nova's own output is not mixed with it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO


def main(arguments: Iterable[str] | None = None) -> int:
    """Entry point of the child."""
    parser = argparse.ArgumentParser(prog='migsafe.replay.worker')
    parser.add_argument('--armed', action='store_true')
    parser.add_argument('--fd', type=int, required=True)
    parser.add_argument('faults', nargs='+')
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    with os.fdopen(chosen.fd, 'w', encoding='utf-8') as pipe:
        run(chosen.armed, chosen.faults, pipe)
    return 0


def run(armed: bool, names: Iterable[str], pipe: TextIO) -> None:
    """Replay the control and the faults of these names; armed, those that were mended once more
    without what mends them."""
    # here, because whoever only reads --help must not start Nova
    from nova import version

    from migsafe.replay import catalogue, play, stage, unmended

    def say(event: str, **more: Any) -> None:
        print(json.dumps({'event': event, **more}), file=pipe, flush=True)

    entries = [catalogue.find(name) for name in names]
    with stage.Stage(armed, third=any(entry.returns for entry in entries)) as lab:
        say('ready', nova=version.version_string(), concurrency=_concurrency())
        control = play.play(lab, catalogue.CONTROL)
        say('control', outcome=control.as_dict(), luns=lab.luns)
        for entry in entries:
            say('begin', name=entry.name)
            say('outcome', outcome=play.play(lab, entry).as_dict())
        # last, because what they leave behind is nobody's to clean up
        for entry in entries if armed else ():
            if entry.mended:
                say('begin', name=entry.name)
                with unmended.without(unmended.MENDINGS[entry.mended]):
                    say('before', outcome=play.play(lab, entry).as_dict())
    say('end')


def _concurrency() -> str:
    patched = 'eventlet' in sys.modules and sys.modules['eventlet'].patcher.is_monkey_patched(
        'thread')
    return 'eventlet' if patched else 'native threads'


if __name__ == '__main__':
    sys.exit(main())
