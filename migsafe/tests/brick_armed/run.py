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
"""One run of os-brick's own tests: ``python -m migsafe.tests.brick_armed.run MODE RESULT``.

In an armed run each connector class of os-brick makes an instance of its guarded subclass, as the
mapping of the shim would have it; the tests themselves are os-brick's, and do not know.
"""

from __future__ import annotations

import json
import pathlib
import sys
import unittest
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import testtools
from oslo_utils import importutils

from migsafe.brick.connectors import classes
from migsafe.brick.guard.judge import Wanted
from migsafe.brick.guard.policy import Policy
from migsafe.brick.guard.questions import Guard
from migsafe.brick.identity import designators
from migsafe.brick.kernel import address, holders

TESTS = ('os_brick.tests.initiator.connectors', 'os_brick.tests.initiator.test_connector')
#: Of no block device, and it imports oslo.vmware, which nobody here needs.
LEFT_OUT = 'test_vmware'


class MadeUpGuard(Guard):
    """Lets through what is not on this machine: the disks of these tests are names alone."""

    def __init__(self) -> None:
        super().__init__('host', root=None)  # type: ignore[arg-type]

    def unheld(self, names: list[str], wanted: Wanted,
               also: Iterable[str] = ()) -> holders.Tree:
        """Nothing is above them."""
        return {}

    def may_remove(self, names: Iterable[str], wanted: Wanted, also: Iterable[str] = (),
                   watch: bool = True) -> None:
        """They may all go."""

    def connected(self, name: str | None, path: str, wanted: Wanted,
                  multipath: bool, also: Iterable[str] = (),
                  leads: Collection[address.Lead] = ()) -> designators.Identity:
        """It is what was wanted, and who it is cannot be known."""
        return frozenset()


def arm() -> list[str]:
    """Have os-brick's connectors be guarded ones, whoever makes them.

    :returns: their names
    """
    from os_brick.initiator import connector
    policy = Policy(MadeUpGuard())
    armed = []
    for path in sorted(set(connector._connector_mapping_linux.values())
                       | set(connector._connector_mapping_linux_s390x.values())
                       | set(connector._connector_mapping_linux_ppc64.values())):
        cls = importutils.import_class(path)
        made = classes.guarded(cls, policy)
        if made:
            cls.__new__ = _instead(cls, made)
            armed.append(path)
    return armed


def _instead(cls: type, made: type) -> Any:
    """A __new__ that makes instances of a subclass; Python goes on with its __init__."""
    def new(wanted: type, *args: object, **kwargs: object) -> object:
        return object.__new__(made if wanted is cls else wanted)
    return new


class Outcomes(testtools.TestResult):  # type: ignore[misc]
    """What became of each test."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def stopTest(self, test: unittest.TestCase) -> None:
        """A test that has said nothing bad has passed."""
        super().stopTest(test)
        self.found.setdefault(test.id(), 'passed')

    def addError(self, test: unittest.TestCase, *args: Any, **kwargs: Any) -> None:
        """It broke."""
        super().addError(test, *args, **kwargs)
        self.found[test.id()] = 'failed'

    def addFailure(self, test: unittest.TestCase, *args: Any, **kwargs: Any) -> None:
        """It found something else than it had expected."""
        super().addFailure(test, *args, **kwargs)
        self.found[test.id()] = 'failed'

    def addSkip(self, test: unittest.TestCase, *args: Any, **kwargs: Any) -> None:
        """It was not for this machine."""
        super().addSkip(test, *args, **kwargs)
        self.found[test.id()] = 'skipped'


def load() -> unittest.TestSuite:
    """The tests, from the installed os-brick.

    :raises ImportError: if it comes without them
    """
    loader = unittest.TestLoader()
    package = importutils.import_module(TESTS[0])
    names = [f'{TESTS[0]}.{path.stem}' for path in sorted(
        pathlib.Path(package.__path__[0]).glob('test_*.py')) if path.stem != LEFT_OUT]
    return loader.loadTestsFromNames([*names, *TESTS[1:]])


def each(suite: Any) -> Iterator[Any]:
    """The tests of a suite, one by one."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        else:
            yield test


def main(mode: str, result: str) -> int:
    """Run, and write what was found as JSON."""
    armed = arm() if mode == 'armed' else []
    outcomes = Outcomes()
    outcomes.startTestRun()
    for test in each(load()):
        test.run(outcomes)
    outcomes.stopTestRun()
    reasons = {test.id(): text for test, text in (*outcomes.errors, *outcomes.failures)}
    pathlib.Path(result).write_text(json.dumps(
        {'armed': armed, 'outcomes': outcomes.found, 'reasons': reasons}))
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
