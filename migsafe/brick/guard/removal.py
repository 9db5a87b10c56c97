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
"""The last step of a removal: a claim on all disks of the volume, under which each goes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from migsafe.brick import refusals
from migsafe.brick.guard import policy as guard_policy
from migsafe.brick.guard import questions
from migsafe.brick.root import interface


class Together:
    """The disks of one volume, which are removed one by one under one claim.

    It is taken when the first of them is about to go: before, a multipath map may have them.

    :param names: kernel names
    """

    def __init__(self, policy: guard_policy.Policy, names: Iterable[str]) -> None:
        self._policy = policy
        self.names = sorted(names)
        self._claim: int | None = None
        self._refused: refusals.Refused | None = None

    def claim(self) -> int:
        """The number of the claim; 0 if it is not to be had and the policy is to go on.

        :raises refusals.Refused: naming who has one of the disks, and what has gone before
        """
        if self._refused is not None:
            # with force, os-brick goes on with the next disk
            raise self._refused
        if self._claim is None:
            try:
                # who has one open the helper looks at itself, right before the removal
                self._claim = self._policy.claim(
                    (name for name in self.names if self._policy.guard.sysfs.exists(name)),
                    look=False)
            except refusals.Refused as refused:
                self._refused = refused
                raise
        return self._claim

    def remove(self, name: str, identity: Iterable[str]) -> dict[str, Any]:
        """Remove one of them.

        :returns: see removed()
        :raises refusals.Refused: see claim()
        """
        return removed(self._policy.guard.root, name, identity, self.claim())

    def look(self) -> None:
        """Who is in the way? Nobody can be any more once they are claimed.

        :raises refusals.Refused: naming it
        """
        if self._claim is None:
            self._policy.may_remove(self.names)

    def let_go(self) -> None:
        """What was not removed is anybody's again."""
        if self._claim:
            self._policy.guard.root.let_go(self._claim)


def removed(root: interface.Root, name: str, identity: Iterable[str],
            claim: int = 0) -> dict[str, Any]:
    """Have the helper remove a disk, once whoever opens each for a moment only is gone.

    :returns: see privileged.remove_scsi()
    """
    end, expected = time.monotonic() + questions.PATIENCE, sorted(identity)
    while (done := root.remove_scsi(name, expected, claim)).get('users'):
        if time.monotonic() > end:
            break
        time.sleep(questions.PAUSE)
    return done


def pauses(tries: int, interval: float) -> Iterator[float | None]:
    """Seconds before each next try, with os-brick's between the last; None after the last.

    One try more than os-brick's comes at once: what has a device open for a moment only is gone
    when the guard has looked.
    """
    yield questions.PAUSE
    for number in range(1, tries):
        yield interval * 2 ** number
    yield None

