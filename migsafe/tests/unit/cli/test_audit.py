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
"""``migsafe audit``: arguments, formats, exit codes, the page."""

import base64
import csv
import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import shlex
import sqlite3
import stat
from unittest import mock

import fixtures

import migsafe
from migsafe import exceptions
from migsafe.audit import page, report, scan
from migsafe.audit.findings import Finding, Severity
from migsafe.cli import audit_progress, audit_services, bus, fleet
from migsafe.journal import residue
from migsafe.tests import api_server
from migsafe.tests.unit.audit import cloud
from migsafe.tests.unit.cli import base as cli_base
from migsafe.tests.unit.journal import base as journal_base

SECRET = cli_base.NOVA_PASSWORD
VM = '66009d94-114f-4062-99b'


class Api(fixtures.Fixture):
    """Cinder's API in cloud t of a clouds.yaml, with one attachment."""

    def _setUp(self):
        self.status, self.versions = 200, set()
        self.server = api_server.Server(_Handler)
        self.server.fixture = self
        self.server.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        for name in [name for name in os.environ if name.startswith('OS_')]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        endpoint = f'http://127.0.0.1:{self.server.server_port}/v3'
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'clouds.yaml')
        with open(path, 'w') as handle:
            json.dump({'clouds': {'t': {
                'auth_type': 'none', 'block_storage_endpoint_override': endpoint,
                'auth': {'endpoint': endpoint}}}}, handle)
        self.useFixture(fixtures.EnvironmentVariable('OS_CLIENT_CONFIG_FILE', path))

    def answer(self, path):
        held = {'id': 'a', 'volume_id': 'v', 'instance': VM, 'status': 'reserved'}
        key = path.split('/')[-1 if path.endswith('os-services') else -2]
        first = 'marker=' not in path
        return {key: [{'attachments': held, 'volumes': {'id': 'v'}}[key]]
                if key in ('attachments', 'volumes') and first else []}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        api = self.server.fixture
        api.versions.add(self.headers['OpenStack-API-Version'])
        text = json.dumps(api.answer(self.path)).encode()
        self.send_response(api.status)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_args):
        """Say nothing."""


class TestAudit(cli_base.CommandTestCase):
    """On the database of incident 000."""

    def setUp(self):
        super().setUp()
        self.database = os.path.join(os.path.dirname(self.state), '000.sqlite')
        with sqlite3.connect(self.database) as made:
            made.executescript(cloud.INCIDENT.read_text(encoding='utf-8'))
        made.close()
        self.both = ('--nova-database', self.database, '--cinder-database', self.database)

    def audit(self, *args, config=False):
        return self.run_command('audit', *args, config=config)

    def test_incident_000(self):
        rows = self.rows('audit', *self.both, code=3, config=False)
        self.assertEqual(['R1', 'R1', 'R10', 'R10', 'R3', 'R3'], [row['Rule'] for row in rows])
        self.assertEqual(['node13', 'node11'], rows[0]['Hosts'])
        self.assertEqual('node11', rows[0]['Evidence']['connector_host'])
        self.assertIn('write its answer, with the connector of that host', rows[0]['Repair'])
        code, out, err = self.audit(*self.both)
        self.assertEqual(3, code)
        for word in ('R1 ', 'critical', VM, 'LUN 4 of iqn'):
            self.assertIn(word, out)
        for word in ('instances 1, rows of volumes 2, attachments 2. The records are of '
                     '2017-06-05 03:30:00 UTC.',
                     'Found: R1 2, R3 2, R10 2.', 'Not seen: Placement was not given'):
            self.assertIn(word, err)

    def test_the_api_of_cinder(self):
        """As an administrator, as somebody else, and beside its database."""
        api = self.useFixture(Api())
        given = ('--nova-database', self.database, '--cinder-api', 't')
        code, _out, err = self.audit(*given)
        self.assertEqual(3, code, err)
        self.assertIn('attachments 1.', err)
        self.assertIn("Cinder's API does not tell for which host", err)
        self.assertEqual({'volume 3.27'}, api.versions)
        code, out, err = self.run_command('exporter', '--once', *given)
        self.assertEqual(0, code, err)
        self.assertIn('migsafe_audit_complete 1.0', out)
        for wrong, words in ((403, 'Cinder refuses the account (403)'),
                             (503, 'was answered with 503')):
            api.status = wrong
            code, _out, err = self.audit(*given)
            self.assertEqual(3, code, err)
            self.assertIn(words, err)
            self.assertIn('attachments 0.', err)
        code, _out, err = self.audit(*self.both, '--cinder-api')
        self.assertEqual(127, code)
        self.assertIn('--cinder-database is given, too', err)

    def test_what_the_documentation_shows_of_it(self):
        root = pathlib.Path(migsafe.__file__).parent.parent
        page = (root / 'doc' / 'source' / 'admin' / 'audit-incident-000.inc').read_text()
        shown = [line.strip() for line in page.splitlines()]
        for args in (('-c', 'Rule', '-c', 'Severity', '-c', 'Hosts', '-c', 'Volume'),
                     ('--rule', 'R1', '--volume', '3de94ee8-30b8-4faf-82eb-24e1df144337', '-c',
                      'What', '-c', 'Repair', '-c', 'Evidence', '-f', 'json')):
            self.assertIn(' '.join(args), page)
            _code, out, err = self.audit(*self.both, *args)
            told = err.splitlines()[1:] if '-f' not in args else []
            for line in (*out.splitlines(), *told):
                self.assertIn(line.strip(), shown)

    def test_what_hosts_say(self):
        piece = residue.Piece('R4-guest', 'found', 'device', 'node11', '/dev/sdq', None, '', VM,
                              'LUN 4 of it is open')
        said = [audit_services._Host(fleet.Overview('node11', 'armed', residue=(
            piece, piece._replace(kind='R9', key='/dev/sdr'),
            piece._replace(state='unsettled', key='/dev/sds'),
            piece._replace(kind='R1', state='held', key='row'),
            piece._replace(kind='R11', instance='', key='/instances/x'))), (VM,)),
            audit_services._Host(fleet.Overview('node13', 'unknown', 'it did not answer'))]
        self.hear(said)
        rows = self.rows('audit', *self.both, '--fleet', 'node11', 'node13', code=3)
        self.assertEqual(
            [('R11', ['node11']), ('R4', ['node11', 'node13']), ('R5', ['node13', 'node11']),
             ('R9', ['node11', 'node13'])],
            sorted((row['Rule'], row['Hosts']) for row in rows
                   if row['Rule'] not in ('R1', 'R3', 'R10')))
        self.assertIn('/dev/sdq', str(rows))
        self.assertNotIn('/dev/sds', str(rows))
        _code, _out, err = self.audit(*self.both, '--fleet', 'node11', config=True)
        self.assertIn('Host node13, of which not all is known: it did not answer', err)
        self.assertIn('No backend of Cinder was asked', err)
        path = os.path.join(os.path.dirname(self.state), 'page.html')
        self.audit(*self.both, '--fleet', 'node11', '--html', path, config=True)
        self.assertIn('/dev/sdq', pathlib.Path(path).read_text())
        code, _out, _err = self.audit(*self.both, '--fleet', 'x', '--rule', 'R12', config=True)
        self.assertEqual(1, code)

    def hear(self, *rounds):
        """Have hosts answer so, in each round; the last one stays."""
        left = list(rounds)
        self.useFixture(fixtures.MockPatchObject(bus, 'Bus'))
        self.useFixture(fixtures.MockPatchObject(
            fleet, 'each', lambda *_given: left.pop(0) if len(left) > 1 else left[0]))

    def test_what_a_host_does_not_say_any_more(self):
        piece = residue.Piece('R4', 'held', 'device', 'node11', 'sdq', None, '', VM, 'open')
        self.hear([audit_services._Host(fleet.Overview('node11', 'armed', residue=(piece,)), ())],
                  [audit_services._Host(fleet.Overview('node11', 'armed'), ())])
        args = (*self.both, '--fleet', 'node11', '--rule', 'R4')
        code, _out, err = self.audit(*args, config=True)
        self.assertEqual(0, code, err)
        self.assertIn('1 more were gone when they were looked at again', err)

    def test_a_host_with_more_than_it_gave_and_an_old_one(self):
        self.hear([audit_services._Host(fleet.Overview('node11', 'armed', more=True), ()),
                   audit_services._Host(fleet.Overview('node13', 'armed'))])
        code, _out, err = self.audit(*self.both, '--fleet', 'x', '--rule', 'R4', config=True)
        self.assertEqual(1, code)
        self.assertIn('node11, of which not all is known: it has more residue', err)
        self.assertIn('node13, of which not all is known: it does not say which guests', err)

    def test_no_host_can_be_asked(self):
        self.useFixture(fixtures.MockPatchObject(
            bus, 'Bus', side_effect=exceptions.MigsafeError('away')))
        code, _out, err = self.audit(*self.both, '--fleet', 'x', config=True)
        self.assertEqual(3, code)
        self.assertIn('Not seen: No host could be asked: away', err)

    def test_csv(self):
        code, out, _err = self.audit(*self.both, '-f', 'csv')
        self.assertEqual(3, code)
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertEqual(6, len(rows))
        self.assertEqual({VM}, {row['Instance'] for row in rows})

    def test_csv_has_no_formulas(self):
        """The dump may be of anybody, and is opened with a spreadsheet."""
        with sqlite3.connect(self.database) as made:
            for table in ('block_device_mapping', 'volume_attachment'):
                made.execute(f"UPDATE {table} SET volume_id = '=HYPERLINK(1)'")
        made.close()
        _code, out, _err = self.audit(*self.both, '-f', 'csv')
        self.assertEqual({"'=HYPERLINK(1)"}, {
            row['Volume'] for row in csv.DictReader(io.StringIO(out))})
        _code, out, _err = self.audit(*self.both, '-f', 'json')
        self.assertEqual({'=HYPERLINK(1)'}, {row['Volume'] for row in json.loads(out)})

    def test_filters(self):
        volume = 'e0c8da7e-baff-4530-a512-a67f71018e3f'
        for args, count in (
                (('--rule', 'R1'), 2), (('--rule', 'R1', '--rule', 'R3'), 4),
                (('--volume', volume), 3), (('--instance', VM), 6),
                (('--volume', volume, '--rule', 'R10'), 1), (('--host', 'node11'), 6)):
            self.assertEqual(count, len(self.rows(
                'audit', *self.both, *args, code=3, config=False)), args)
        self.assertEqual([], self.rows('audit', *self.both, '--rule', 'R5', config=False))
        self.assertEqual(3, len(self.rows('audit', *self.both, '--volume', volume.upper(), code=3,
                                          config=False)))

    def test_what_was_asked_for_and_is_nowhere(self):
        """A name that is mistyped must not look clean; of what is there, nothing is found."""
        other = '00000000-0000-4000-8000-000000000000'
        for args in (('--host', 'nod11'), ('--instance', other), ('--volume', other)):
            code, _out, err = self.audit(*self.both, *args)
            self.assertEqual(1, code, args)
            self.assertIn(f'Not seen: No record that was read has {args[1]} ({args[0]})', err)
            _code, _out, err = self.audit('--nova-database', self.database, *args)
            self.assertIn(f'No record that was read has {args[1]} ({args[0]})', err)
        with sqlite3.connect(self.database) as made:
            made.execute('INSERT INTO volumes (id) VALUES (?)', (other,))
            made.execute("INSERT INTO instances (uuid, host, deleted) VALUES (?, 'old', 7)",
                         (other,))
        made.close()
        for args in (('--host', 'old'), ('--instance', other), ('--volume', other)):
            self.assertEqual(0, self.audit(*self.both, *args)[0], args)
        code, _out, err = self.audit(*self.both, '--instance', VM, '--instance',
                                     other.replace('8', '9'))
        self.assertEqual(3, code)
        self.assertIn('(--instance): nothing can be said of it', err)
        for args in (('--instance', 'my-vm'), ('--volume', 'my disk')):
            code, _out, err = self.audit(*self.both, *args)
            self.assertEqual(127, code, args)
            self.assertIn(f'{args[0]}: {shlex.quote(args[1])} is no UUID, and no record '
                          'has it. openstack ', err)

    def test_wrong_arguments(self):
        missing = os.path.join(self.state, 'nowhere')
        text = os.path.join(os.path.dirname(self.state), 'dump.sql')
        with open(text, 'w') as handle:
            handle.write('CREATE TABLE instances (id INTEGER);\n')
        for args, word in (
                ((), '--nova-database: it is not given'),
                (('--nova-database', missing), 'nowhere cannot be read: No such file'),
                (('--nova-database', text), 'has to be loaded into a database first'),
                (('--nova-database', f'oracle://u:{SECRET}@h/d'), 'is no URL of a'),
                (('--nova-database', f'mysql+x://u:{SECRET}@h/d'), 'is no URL of a'),
                ((*self.both, '--html', f'{missing}/a b.html'), "a b.html' cannot be")):
            code, _out, err = self.audit(*args)
            self.assertEqual(127, code, args)
            self.assertIn(word, err)
        for args in (('--rule', 'R99'), ('--grace', 'soon'), ('--stuck', '-1'), ('--nonsense',)):
            self.assertEqual(127, self.audit(*self.both, *args)[0], args)

    def test_the_configuration_names_the_databases(self):
        conf = os.path.join(os.path.dirname(self.state), 'nova-conductor.conf')
        with open(conf, 'w') as handle:
            handle.write(f'[database]\nconnection = sqlite:///{self.database}\n')
        code, _out, err = self.audit('--nova-database', conf, '--cinder-database', conf)
        self.assertEqual(3, code, err)
        self.nova_conf = conf
        self.assertEqual(3, self.audit(config=True)[0])

    def mapped(self, *connections):
        """An API database of Nova with these mappings, and a configuration that names it."""
        api = os.path.join(os.path.dirname(self.state), 'api.sqlite')
        with sqlite3.connect(api) as made:
            made.execute('DROP TABLE IF EXISTS cell_mappings')
            made.execute('CREATE TABLE cell_mappings (id INTEGER PRIMARY KEY, uuid TEXT, '
                         'name TEXT, transport_url TEXT, database_connection TEXT)')
            made.executemany('INSERT INTO cell_mappings (uuid, name, database_connection) '
                             "VALUES ('u', 'cell', ?)", [(one,) for one in connections])
        made.close()
        conf = os.path.join(os.path.dirname(self.state), 'nova-api.conf')
        with open(conf, 'w') as handle:
            handle.write(f'[database]\nconnection = sqlite:///{self.database}\n'
                         f'[api_database]\nconnection = sqlite:///{api}\n')
        return conf, api

    def test_all_cells(self):
        empty = os.path.join(os.path.dirname(self.state), 'empty.sqlite')
        with sqlite3.connect(self.database) as made, sqlite3.connect(empty) as copy:
            made.backup(copy)
            copy.execute('DELETE FROM block_device_mapping')
        made.close(), copy.close()
        conf, api = self.mapped(f'sqlite:///{empty}', '{scheme}:////{path}')
        self.assertEqual(6, len(self.rows('audit', '--nova-api-database', conf, code=3,
                                          config=False)))
        code, _out, err = self.audit('--nova-api-database', f'sqlite:///{api}')
        self.assertEqual(1, code)
        self.assertIn('Cell cell cannot be read', err)
        self.assertIn('no configuration has [database] connection', err)

    def test_a_mapping_that_leads_nowhere(self):
        conf, _api = self.mapped(f'not a url {SECRET}', f'mysql+pymysql://n:{SECRET}@[x')
        code, _out, err = self.audit('--nova-api-database', conf)
        self.assertEqual(1, code)
        self.assertIn('is no URL that can be used here. Name the databases', err)
        conf, _api = self.mapped(f'mysql+pymysql://n:{SECRET}@127.0.0.1:1/cell1',
                                 '{scheme}:////{path}')
        code, _out, err = self.audit('--nova-api-database', conf)
        self.assertEqual(3, code)
        self.assertIn('Not seen: A cell of Nova: mysql+pymysql://n:***@127.0.0.1:1/cell1', err)

    def test_a_database_that_is_not_there(self):
        url = f'mysql+pymysql://n:{SECRET}@127.0.0.1:1/nova'
        code, _out, err = self.audit('--nova-database', url)
        self.assertEqual(1, code)
        self.assertIn('127.0.0.1:1/nova cannot be read', err)
        code, _out, err = self.audit('--nova-database', self.database, '--cinder-database', url)
        self.assertEqual(3, code)
        code, _out, err = self.audit('--nova-database', self.database, '--cinder-database', url,
                                     '--rule', 'R5')
        self.assertEqual(1, code)
        self.assertIn('Not seen: Cinder: ', err)

    def test_the_page(self):
        path = os.path.join(os.path.dirname(self.state), 'page.html')
        hostile = '<script>alert(1)</script>'
        with sqlite3.connect(self.database) as made:
            made.execute("UPDATE instances SET host = ?", (hostile,))
        made.close()
        code, _out, _err = self.audit(*self.both, '--html', path)
        self.assertEqual(3, code)
        self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))
        with open(path, encoding='utf-8') as handle:
            text = handle.read()
        self.assertEqual(1, text.count('<script>'))
        self.assertIn('&lt;script&gt;alert(1)', text)
        self.assertNotIn('http:', text)
        self.assertNotIn('https:', text)
        self.assertEqual(6, text.count('<tr data-rule='))
        allowed = re.search(r"script-src 'sha256-([\w+/=]+)'", text)[1]
        script = re.search(r'<script>(.*)</script>', text, re.DOTALL)[1]
        self.assertEqual(allowed, base64.b64encode(
            hashlib.sha256(script.encode()).digest()).decode())

    def test_a_page_that_was_there_before(self):
        """By cron: it becomes its owner's only, and stays whole if the audit fails."""
        path = os.path.join(os.path.dirname(self.state), 'page.html')
        with open(path, 'w', encoding='utf-8') as handle:
            handle.write('before')
        os.chmod(path, 0o644)
        code, _out, _err = self.audit('--nova-database', f'sqlite:///{path}', '--html', path)
        self.assertEqual(1, code)
        self.assertEqual('before', pathlib.Path(path).read_text())
        self.assertEqual(3, self.audit(*self.both, '--html', path)[0])
        self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))
        self.assertIn('<title>migsafe audit', pathlib.Path(path).read_text())
        self.assertEqual([], [name for name in os.listdir(os.path.dirname(path))
                              if name.startswith('page.html.')])

    def test_a_page_that_cannot_be_written_is_refused_first(self):
        link = os.path.join(os.path.dirname(self.state), 'link')
        os.symlink('/dev/null', link)
        for path in (os.path.join(self.state, 'nowhere', 'x'), os.path.dirname(self.state), link):
            with mock.patch.object(scan, 'audit') as looked:
                code, _out, err = self.audit(*self.both, '--html', path)
            self.assertEqual((127, False), (code, looked.called), err)
            self.assertIn('--html: ', err)

    def test_the_map_of_a_large_cloud(self):
        """As long as its volumes are, and no wider than a volume has hosts."""
        made = report.Report()
        for number in range(600):
            volume = f'v{number:03}'
            made.findings.append(Finding('R3', Severity.WARNING, '', '', 'vm', volume))
            made.sights[volume] = {f'node{number}': {'row', 'instance'},
                                   f'node{number + 600}': {'attachment'}}
        text = page.render(made)
        shown = re.findall(r'<tr data-map="(.*?)">(.*?)</tr>', text, re.DOTALL)
        self.assertEqual(page.MAPPED, len(shown))
        self.assertEqual({2}, {cells.count('<td') for _volume, cells in shown})
        self.assertEqual({2}, {cells.count('<span class="two">') for _volume, cells in shown})
        self.assertIn('<b>node0</b> instance, row', shown[0][1])
        self.assertIn('100 more volumes are not shown', text)
        self.assertEqual({volume for volume, _cells in shown},
                         set(re.findall('data-volume="(.*?)"', text)[:page.MAPPED]))

    def test_the_page_of_a_clean_cloud(self):
        path = os.path.join(os.path.dirname(self.state), 'page.html')
        code, _out, _err = self.audit(*self.both, '--rule', 'R5', '--html', path)
        self.assertEqual(0, code)
        with open(path, encoding='utf-8') as handle:
            self.assertIn('<b>0</b>findings', handle.read())

    def test_json_is_whole(self):
        _code, out, _err = self.audit(*self.both, '-f', 'json', '--rule', 'R3')
        for row in json.loads(out):
            self.assertEqual({'Rule', 'Severity', 'Certain', 'Hosts', 'Instance', 'Volume', 'What',
                              'Repair', 'Evidence'}, set(row))
            self.assertIs(False, row['Certain'])


class TestProgress(journal_base.JournalTestCase):
    """Only on a terminal, and gone at the end."""

    def test_no_terminal(self):
        self.assertIsNone(audit_progress.shown_on(io.StringIO()))

    def test_it_counts(self):
        stream = io.StringIO()
        shown = audit_progress.Progress(stream)
        shown._last -= 1
        shown._began -= 10
        shown(1000, 4000)
        self.assertIn('[#####...............] 1,000 of 4,000 instances (25 %), 30 s left',
                      stream.getvalue())
        shown(1001, 4000)
        self.assertNotIn('1,001', stream.getvalue())
        shown.end()
        self.assertTrue(stream.getvalue().endswith(' \r'))
