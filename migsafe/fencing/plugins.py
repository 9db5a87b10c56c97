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
"""Plugins of which an option of ``[migsafe]`` gives the names (stevedore)."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import stevedore

from migsafe import exceptions
from migsafe.text import masked

T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Kind(Generic[T]):
    """Of one kind.

    :param option: that names them; its entry points are ``migsafe.`` and this
    :param word: what one is called
    :param base: what each has to be
    :param none: what it means that none is named, to follow "it names none"
    """

    option: str
    word: str
    base: type[T]
    none: str = ''

    def load(self, wanted: Iterable[str] | None, given: Any) -> list[T]:
        """Make those that are named, in that order.

        :param given: to each of them
        :raises ConfigError: none is named, or one that cannot be used
        """
        if not wanted:
            raise self._refused(f'it names none{self.none}')
        return [self._one(name, given) for name in dict.fromkeys(wanted)]

    def _one(self, name: str, given: Any) -> T:
        try:
            made = stevedore.DriverManager(
                f'migsafe.{self.option}', name, invoke_on_load=True, invoke_args=(given,),
                invoke_kwds={'name': name}).driver
        except exceptions.MigsafeError:
            raise
        except Exception as error:
            raise self._refused(f'the {self.word} {ascii(name)[:80]} cannot be used: '
                                f'{masked(error)}') from error
        if not isinstance(made, self.base):
            raise self._refused(f'{ascii(name)[:80]} is no {self.word}')
        return made

    def names(self) -> str:
        """The names of those that are installed, for messages."""
        return ', '.join(sorted(importlib.metadata.entry_points(
            group=f'migsafe.{self.option}').names))

    def _refused(self, why: str) -> exceptions.ConfigError:
        return exceptions.ConfigError(group='migsafe', option=self.option,
                                      reason=f'{why}. It may name {self.names()}')
