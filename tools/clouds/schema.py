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
"""The real schema of Nova, Placement and Cinder, of the releases that are installed.

Where Cinder is not, its two tables are those kept here; a test compares them with the real ones.
"""

import importlib
import importlib.util
import warnings
from typing import Any

import sqlalchemy as sa


def nova() -> sa.MetaData:
    """A cell's."""
    return _known("nova.db.main.models")


def placement() -> sa.MetaData:
    """Placement's."""
    return _known("placement.db.sqlalchemy.models")


def cinder() -> sa.MetaData:
    """Cinder's."""
    return _known("cinder.db.models") if importlib.util.find_spec("cinder") else kept()


def _known(module: str) -> sa.MetaData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: sa.MetaData = importlib.import_module(module).BASE.metadata
    return found


def kept() -> sa.MetaData:
    """Cinder 29's tables, as far as an audit reads them."""
    metadata = sa.MetaData()

    def text(name: str, length: int = 255) -> "sa.Column[str]":
        return sa.Column(name, sa.String(length))

    def key() -> "sa.Column[str]":
        return sa.Column("id", sa.String(36), primary_key=True)

    def times() -> list["sa.Column[Any]"]:
        names = ("created_at", "updated_at", "deleted_at")
        found: list[sa.Column[Any]] = [sa.Column(name, sa.DateTime) for name in names]
        return [*found, sa.Column("deleted", sa.Boolean)]

    sa.Table(
        "volumes",
        metadata,
        key(),
        text("host"),
        sa.Column("size", sa.Integer),
        text("status"),
        text("attach_status"),
        text("migration_status"),
        sa.Column("multiattach", sa.Boolean),
        sa.Column("volume_type_id", sa.String(36), nullable=False),
        sa.Column("use_quota", sa.Boolean, nullable=False),
        *times(),
    )
    sa.Table(
        "volume_attachment",
        metadata,
        key(),
        sa.Column("volume_id", sa.String(36), nullable=False, index=True),
        text("instance_uuid", 36),
        text("attached_host"),
        text("mountpoint"),
        text("attach_status"),
        text("attach_mode", 36),
        sa.Column("connection_info", sa.Text),
        sa.Column("connector", sa.Text),
        *times(),
    )
    return metadata


def neutron() -> sa.MetaData:
    """Neutron's two tables, as far as an audit reads them: neutron/plugins/ml2/models.py."""
    metadata = sa.MetaData()
    sa.Table(
        "ports",
        metadata,
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("device_id", sa.String(255), nullable=False, index=True),
        sa.Column("device_owner", sa.String(255), nullable=False),
    )
    sa.Table(
        "ml2_port_bindings",
        metadata,
        sa.Column("port_id", sa.String(36), primary_key=True),
        sa.Column("host", sa.String(255), primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
    )
    return metadata
