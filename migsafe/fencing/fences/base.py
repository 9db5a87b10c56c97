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
"""What a fence is."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any


class Fence(abc.ABC):
    """Sees to it that a host can write nothing any more.

    To fence a host that is fenced changes nothing. What is not proven to be that host is not
    touched.

    :param conf: the options of ``[migsafe]``
    :param name: the name of its entry point
    :raises ConfigError: it cannot be used
    """

    #: What an operator says to be addresses of the host, where it is a client of the storage.
    addresses: Sequence[str] = ()
    #: host -> its servers that have a disk which is no volume of Cinder
    with_other_disks: Callable[[str], Sequence[str]] = staticmethod(lambda _host: ())

    def __init__(self, conf: Any, name: str) -> None:
        self.conf, self.name = conf, name

    @abc.abstractmethod
    def fence(self, host: str) -> str:
        """Fence a host, and see by reading back that it is.

        :returns: what was seen, in words for an operator
        :raises MigsafeError: it is not seen to be fenced; it may be all the same
        """
