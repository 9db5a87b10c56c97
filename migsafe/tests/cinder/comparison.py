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
"""Cinder's own tests, plain or with every driver guarded: ``MODE RESULT MODULE...``

Cinder ships its tests in its wheel. What they assert about a driver must stay
true of the same driver guarded. The result is a JSON file: the outcome of each
test, and how many drivers were guarded, so that a run that guarded nothing is
seen for what it is.
"""

import atexit
import importlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest
from collections import Counter
from typing import Any

import wrapt

#: The compliance tests look for the drivers below the working directory.
COMPLIANCE = 'cinder.tests.compliance.test_volume_drivers'
DRIVERS = (
    'cinder.tests.unit.volume.drivers.test_lvm_driver',
    'cinder.tests.unit.volume.drivers.test_rbd',
    'cinder.tests.unit.volume.drivers.netapp.dataontap.test_iscsi_cmode',
    'cinder.tests.unit.volume.drivers.netapp.dataontap.test_fc_cmode',
    'cinder.tests.unit.volume.drivers.netapp.dataontap.test_block_driver_interfaces',
    'cinder.tests.unit.volume.drivers.netapp.dataontap.test_nfs_cmode',
    'cinder.tests.unit.volume.drivers.netapp.test_common',
)
MANAGER = (
    'cinder.tests.unit.attachments.test_attachments_manager',
    'cinder.tests.unit.volume.test_connection',
)


class Outcomes(unittest.TestResult):
    """Test id -> how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def addSuccess(self, test: Any, *_: Any, **__: Any) -> None:
        self.found.setdefault(test.id(), 'success')

    def addError(self, test: Any, *_: Any, **__: Any) -> None:
        self.found[test.id()] = 'fail'

    addFailure = addUnexpectedSuccess = addError

    def addSkip(self, test: Any, *_: Any, **__: Any) -> None:
        self.found[test.id()] = 'skip'

    addExpectedFailure = addSkip


def guard_everything(counts: Counter[str]) -> None:
    """Guard each driver class and instance that the tests make."""
    from cinder.interface import util
    from cinder.volume import driver

    from migsafe import conf
    from migsafe.cinder.wrapping import classes
    from migsafe.journal import store

    ledgers = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, ledgers)

    def initialized(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> None:
        wrapped(*args, **kwargs)
        conf.register_opts(driver.CONF)
        # Tests have the same volumes: each driver gets a ledger of its own.
        driver.CONF.set_default('ledger_path', tempfile.mkdtemp(dir=ledgers), 'migsafe')
        classes.guard(instance)
        counts['instances'] += 1

    def drivers(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> list[Any]:
        found = [util.DriverInfo(classes.subclass(info.cls)) for info in wrapped(*args, **kwargs)]
        counts['classes'] += len(found)
        return found

    def written(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        counts['ledger writes'] += 1
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(store, 'Store.write', written)
    wrapt.wrap_function_wrapper(driver, 'BaseVD.__init__', initialized)
    wrapt.wrap_function_wrapper(util, 'get_volume_drivers', drivers)


def main() -> int:
    """Run the tests; exit code 0 whatever their outcomes are."""
    mode, result, *modules = sys.argv[1:]
    import cinder
    os.chdir(pathlib.Path(cinder.__file__).parent.parent)
    importlib.import_module('cinder.tests.unit')
    counts: Counter[str] = Counter()
    if mode == 'guarded':
        guard_everything(counts)
    outcomes = Outcomes()
    unittest.defaultTestLoader.loadTestsFromNames(modules).run(outcomes)
    pathlib.Path(result).write_text(json.dumps({'tests': outcomes.found, 'counts': counts}),
                                    encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
