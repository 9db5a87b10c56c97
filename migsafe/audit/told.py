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
"""What services have told beside the databases: hosts of themselves, backends of their exports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from migsafe.audit.facts import Export
from migsafe.journal.residue import Piece


@dataclasses.dataclass(frozen=True)
class Told:
    """The answers of one round.

    :ivar pieces: residue that hosts have
    :ivar runs: instance -> hosts that have its guest
    :ivar unseen: sentences: whom nobody asked, who did not answer, and what is not known then;
        a service that said nothing is never taken for clean
    :ivar lost: of ``hosts`` and ``exports``, those of which some that were asked did not answer
    """

    pieces: tuple[Piece, ...] = ()
    runs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    exports: tuple[Export, ...] = ()
    unseen: tuple[str, ...] = ()
    lost: frozenset[str] = frozenset()


#: Asks all of them, once for each look.
Ask = Callable[[], Told]
#: What was not seen if nobody asks.
NOBODY = Told(unseen=(
    'No host was asked (--fleet): devices left there (R4), devices with another identity (R9), '
    'directories (R11), and where guests really run are not known of any host.',
    'No backend of Cinder was asked (--exports): what is exported is known by attachments and '
    'rows alone, and not by what ledgers and arrays have.'))
