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
"""``migsafe exporter``: what it tells, and whether the alerts and the dashboard ask for that."""

import argparse
import collections
import json
import os
import pathlib
import re
import sqlite3
from unittest import mock

import prometheus_client
import sqlalchemy as sa
import yaml
from prometheus_client import parser

import migsafe
from migsafe.audit import opening
from migsafe.audit.facts import Export
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.report import Report
from migsafe.audit.told import Told
from migsafe.cli import audit_services, exporter, fleet, migrations
from migsafe.exporter import collector
from migsafe.journal.residue import Piece
from migsafe.tests.unit.audit import cloud
from migsafe.tests.unit.cli import base

ETC = pathlib.Path(migsafe.__file__).parent.parent / 'etc' / 'migsafe'
NAME = re.compile(r'migsafe_[a-z_]+')


class Ended(Exception):
    """The exporter has slept once."""


class TestExporter(base.CommandTestCase):
    """On the database of incident 000; the hosts are made up."""

    def setUp(self):
        super().setUp()
        self.database = os.path.join(os.path.dirname(self.state), '000.sqlite')
        with sqlite3.connect(self.database) as made:
            made.executescript(cloud.INCIDENT.read_text(encoding='utf-8'))
        made.close()
        self.both = ('--nova-database', self.database, '--cinder-database', self.database)
        self.asked = [fleet.Overview('node13', 'armed', unsettled=3, held=1),
                      fleet.Overview('node11', 'unknown')]
        self.counted = {('node13', 'stuck'): 2, ('node13', 'running'): 0}
        for patch in (mock.patch.object(fleet, 'asked', lambda conf, named: self.asked),
                      mock.patch.object(migrations, 'counted', lambda conf, named: self.counted)):
            patch.start()
            self.addCleanup(patch.stop)
        self.told = {'_hosts': Told(), '_backends': Told()}
        for name in self.told:
            patch = mock.patch.object(audit_services, name,
                                      lambda *_given, name=name: self.told[name])
            patch.start()
            self.addCleanup(patch.stop)

    def samples(self, *args, code=0):
        """(name, labels) -> value, of what it prints."""
        found, out, err = self.run_command('exporter', *self.both, '--once', *args)
        self.assertEqual(code, found, err)
        return {(one.name, tuple(sorted(one.labels.items()))): one.value
                for family in parser.text_string_to_metric_families(out)
                for one in family.samples}

    def test_what_it_tells(self):
        found = self.samples('--fleet')
        for name, labels, value in (
                ('findings', {'rule': 'R1', 'severity': 'critical'}, 2),
                ('findings', {'rule': 'R3', 'severity': 'warning'}, 2),
                ('findings', {'rule': 'R5', 'severity': 'none'}, 0),
                ('audit_complete', {}, 1), ('audit_instances', {}, 1),
                ('transactions_unsettled', {'host': 'node13'}, 3),
                ('transactions_held', {'host': 'node13'}, 1),
                ('live_migrations', {'host': 'node13', 'state': 'stuck'}, 2),
                ('live_migrations', {'host': 'node13', 'state': 'running'}, 0),
                ('host_state', {'host': 'node13', 'state': 'armed'}, 1),
                ('host_state', {'host': 'node11', 'state': 'armed'}, 0),
                ('host_state', {'host': 'node11', 'state': 'unknown'}, 1)):
            self.assertEqual(value, found[f'migsafe_{name}', tuple(sorted(labels.items()))], name)
        self.assertNotIn(('migsafe_transactions_held', (('host', 'node11'),)), found)

    def test_what_hosts_and_backends_tell(self):
        self.told['_hosts'] = Told(tuple(
            Piece(rule, 'held', 'device', 'node11', 'sdq', None, 'tx', 'of-nobody', 'it is open')
            for rule in ('R4', 'R9')))
        self.told['_backends'] = Told(exports=(Export('array@a', 'v', 'node11', 'mapped'),))
        by_rule = self.by_rule('--fleet')
        self.assertEqual((1, 1, 0, 2), tuple(by_rule[rule] for rule in ('R4', 'R9', 'R11', 'R3')))
        self.assertEqual(3, self.by_rule('--exports')['R3'])

    def test_a_rule_of_which_nothing_was_asked_has_no_sample(self):
        self.assertEqual({'R1', 'R2', 'R3', 'R5', 'R6', 'R10', 'R12'}, set(self.by_rule()))
        self.assertEqual({'R7'}, {f'R{number}' for number in range(1, 13)}
                         - set(self.by_rule('--fleet')))

    def test_what_was_not_read_is_not_counted_as_zero(self):
        """Each view away in turn: rules that go by it have no zero, though it was named."""
        away = 'sqlite:////nowhere/away.sqlite'
        cinder = {'R1', 'R2', 'R3', 'R10'}
        for view, unseen in (('cinder', cinder), ('placement', {'R7'}), ('neutron', {'R8'})):
            given = dict.fromkeys(('nova', 'cinder'), self.database) | {view: away}
            code, out, err = self.run_command('exporter', '--once', '--rule', 'R2', *(
                word for name, url in given.items() for word in (f'--{name}-database', url)))
            self.assertEqual(0, code, err)
            self.assertIn('migsafe_audit_complete 0.0', out)
            self.assertEqual(view != 'cinder', 'rule="R2",severity="none"} 0.0' in out, view)
            found = exporter._blind(self.sources(), self.given(),
                                    {view.capitalize()})
            self.assertEqual(unseen, found, view)
        for view, unseen in (('hosts', {'R4', 'R5', 'R8', 'R9', 'R11'}),
                             ('exports', {'R3', 'R10'})):
            self.assertEqual(unseen, exporter._blind(
                self.sources(), self.given(), {view}), view)
        self.assertEqual(cinder, exporter._blind(self.sources(None),
                                                 self.given(), set()))

    def sources(self, cinder='sqlite:///x'):
        """All databases are named, or all but Cinder."""
        url = sa.make_url('sqlite:///x')
        return opening.Sources([url], cinder and sa.make_url(cinder), url, url)

    @staticmethod
    def given():
        """Hosts are asked, and all rules are wanted."""
        return argparse.Namespace(fleet=[], rule=[])

    def test_what_was_found_before_is_told_until_all_is_seen_again(self):
        """As during an outage of Cinder, in which a critical finding must not end."""
        def one(rule, severity, count=1):
            return [Finding(rule, severity, '', '')] * count
        first = collector.found(Report(findings=one('R2', Severity.CRITICAL)), (), {}, 5.0)
        self.assertEqual(({'critical': 1}, 5.0), (first['R2'].counts, first['R2'].whole))
        second = collector.found(Report(findings=[
            *one('R2', Severity.MINOR, 3), *one('R10', Severity.CRITICAL)]),
            ('R2', 'R10'), first, 9.0)
        self.assertEqual(({'critical': 1, 'minor': 3}, 5.0),
                         (second['R2'].counts, second['R2'].whole))
        self.assertEqual(({'critical': 1}, 5.0), (second['R10'].counts, second['R10'].whole))
        self.assertEqual(({}, 9.0), (second['R5'].counts, second['R5'].whole))
        third = collector.found(Report(), (), second, 12.0)
        self.assertEqual(({}, 12.0), (third['R2'].counts, third['R2'].whole))

    def by_rule(self, *args):
        """How many findings it tells of each rule."""
        found = collections.Counter()
        for (name, labels), value in self.samples(*args).items():
            if name == 'migsafe_findings':
                found[dict(labels)['rule']] += value
        return found

    def test_alerts_and_dashboard_ask_for_what_it_tells(self):
        told = {name for name, _labels in self.samples('--fleet')}
        rules = yaml.safe_load((ETC / 'prometheus-alerts.yml').read_text())['groups'][0]['rules']
        board = json.loads((ETC / 'grafana-dashboard.json').read_text())
        asked = [one['expr'] for one in rules] + [
            target['expr'] for panel in board['panels'] for target in panel['targets']]
        names = {name for expr in asked for name in NAME.findall(expr)}
        self.assertEqual(set(), names - told)
        self.assertLessEqual({'migsafe_findings', 'migsafe_transactions_held',
                              'migsafe_host_state', 'migsafe_audit_timestamp_seconds',
                              'migsafe_live_migrations'}, names)

    def test_what_was_not_seen_has_no_sample(self):
        self.assertFalse([name for name, _labels in self.samples() if 'host' in name])
        os.unlink(self.database)
        with sqlite3.connect(self.database) as made:
            made.execute('CREATE TABLE other (id INTEGER)')
        made.close()
        self.assertEqual({}, self.samples(code=1))

    def test_it_serves_what_it_has_seen_and_goes_on_without_a_database(self):
        served, ended = [], []

        def serve(port, address, registry):
            self.assertEqual((9859, '127.0.0.1'), (port, address))
            served.append(registry)

        def sleep(seconds):
            ended.append(prometheus_client.generate_latest(served[0]))
            if len(ended) == 2:
                raise Ended
            os.unlink(self.database)
            with open(self.database, 'w') as handle:
                handle.write('nothing')
        with mock.patch.object(prometheus_client, 'start_http_server', serve), \
                mock.patch.object(exporter.time, 'sleep', sleep):
            code, _out, err = self.run_command(
                'exporter', *self.both, '--audit-every', '0')
        self.assertEqual(1, code)
        self.assertEqual(2, len(ended), err)
        self.assertIn(b'migsafe_findings{rule="R1",severity="critical"} 2.0', ended[0])
        self.assertEqual(ended[0], ended[1])
        self.assertIn('cannot be read', err)

    def test_it_goes_on_whatever_fails(self):
        """The bus may raise anything, and the audit is told all the same."""
        with mock.patch.object(fleet, 'asked', side_effect=TypeError('u:hush@h is odd')):
            code, out, err = self.run_command('exporter', *self.both, '--once', '--fleet')
        self.assertEqual(1, code)
        self.assertIn('migsafe_findings{rule="R1",severity="critical"} 2.0', out)
        self.assertIn('TypeError: ', err)

    def test_a_port_that_is_taken(self):
        with mock.patch.object(prometheus_client, 'start_http_server', side_effect=OSError('x')):
            code, _out, err = self.run_command('exporter', *self.both)
        self.assertEqual(127, code)
        self.assertIn('--listen: 127.0.0.1 port 9859 cannot be listened on', err)

    def test_incomplete(self):
        metrics = collector.Metrics()
        metrics.seen = collector.Seen(Report(failed=True), 5.0)
        found = {one.name: one.samples[0].value for one in metrics.collect() if one.samples}
        self.assertEqual(0, found['migsafe_audit_complete'])
