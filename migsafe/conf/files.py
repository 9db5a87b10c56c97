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
"""Finds the configuration files of a service as oslo.config does, for the commands."""

import glob
import os
from collections.abc import Iterable
from typing import Any


def read_by(conf: Any) -> list[str]:
    """Return what a service has read, itself or because it was told to.

    :param conf: its configuration
    """
    return [*(conf.config_file or ()), *of_directories(conf.config_dir or ())]


def of_directories(directories: Iterable[str]) -> list[str]:
    """Return what oslo.config reads of each ``--config-dir``, in its order."""
    return [name for directory in directories
            for name in sorted(glob.glob(os.path.join(glob.escape(directory), '*.conf')))]


def beside(names: Iterable[str]) -> list[str]:
    """Return the directories that oslo.config reads by itself, if they are there.

    They are called like the files: nova.conf.d for nova.conf, whether that exists or not.
    """
    return [f'{name}.d' for name in names if os.path.isdir(f'{name}.d')]


def usual(names: Iterable[str]) -> list[str]:
    """Return what a service reads that is given nothing: files first, then directories."""
    found = list(names)
    return [*(name for name in found if os.path.exists(name)), *of_directories(beside(found))]
