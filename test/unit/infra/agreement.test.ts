import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseSettings } from '../../../src/config/settings.ts';
import { METRICS } from '../../../src/telemetry/telemetry.ts';
import { bodies, descendants, literal, namedChildren, properties, template } from './bicep.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const sources = globSync('src/**/*.ts', { cwd: root })
  .filter((file) => !file.startsWith('src/local/') && !file.startsWith('src/commands/'))
  .map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }));
const found = (pattern: RegExp, room = 'src/'): string[] =>
  unique(
    sources
      .filter(({ file }) => file.startsWith(room))
      .flatMap(({ text }) => [...text.matchAll(pattern)].map((match) => match[1] ?? '')),
  );
const unique = (names: readonly string[]): string[] => [...new Set(names)].sort();

/** Settings of the host, the platform and libraries; everything else is ours. */
const isOurs = (setting: string): boolean =>
  !/^(AzureWebJobs|FUNCTIONS_|APPLICATIONINSIGHTS_|IDENTITY_|NODE_)/.test(setting);

describe('settings', () => {
  const text = template('modules/function-app.bicep').text;
  const sample: Record<string, string> = JSON.parse(
    readFileSync(join(root, 'local.settings.sample.json'), 'utf8'),
  ).Values;
  const appWide = (names: readonly string[]) =>
    unique(names.filter((name) => isOurs(name) && !/^(Dataverse|Webhook)__/.test(name)));
  /** The properties that the code takes, as it says itself when it meets an unknown one. */
  const inCode = (prefix: string): string[] => {
    const { connectionFaults, webhookFaults } = parseSettings({ [`${prefix}__one__nonsense`]: 'x' });
    const faults = [...(connectionFaults.get('one') ?? []), ...(webhookFaults.get('one') ?? [])];
    const [, known = ''] =
      faults.map(({ message }) => message.match(/known are (.*)$/) ?? []).find(([all]) => all) ?? [];
    return unique(known.split(', '));
  };
  const inTemplate = (prefix: string): string[] =>
    unique(
      [...text.matchAll(new RegExp(`'${prefix}__\\$\\{each\\.name\\}__(\\w+)'`, 'g'))].map((match) => match[1] ?? ''),
    );
  const inType = (type: string): string[] => {
    const { value } = template('types.bicep').declarations.find(({ name }) => name === type) ?? {};
    return unique(value ? [...properties(value).keys()].filter((name) => name !== 'name') : []);
  };

  test('of the app are the same in the template and in the code, and the sample knows no other', () => {
    const resource = template('modules/function-app.bicep').declarations.find(({ name }) => name === 'settings');
    const [body] = bodies(resource?.value);
    const value = body && properties(body).get('properties');
    const fixed = value ? [...descendants(value)].find(({ type }) => type === 'object') : undefined;
    const chosen = [...text.matchAll(/\{ name: '([A-Z_]+)', value/g)].map((match) => match[1] ?? '');
    const written = appWide([...chosen, ...(fixed ? properties(fixed).keys() : [])]);
    expect(written).toEqual(appWide(found(/'([A-Z]+(?:_[A-Z]+)+)'/g, 'src/config/')));
    expect(appWide(Object.keys(sample)).filter((setting) => !written.includes(setting))).toEqual([]);
  });

  test.each([
    ['Dataverse', 'connectionSettings'],
    ['Webhook', 'webhookSettings'],
  ])('of a group %s__ are the same in the template, its type and the code', (prefix, type) => {
    const known = inCode(prefix);
    expect(known.length).toBeGreaterThan(3);
    expect(inTemplate(prefix)).toEqual(known);
    expect(inType(type)).toEqual(known);
    const sampled = Object.keys(sample).filter((name) => name.startsWith(`${prefix}__`));
    expect(sampled.map((name) => name.split('__')[2] ?? '').filter((name) => !known.includes(name))).toEqual([]);
  });

  test('take every kind of credential that the code knows, and no other', () => {
    const { connectionFaults } = parseSettings({ Dataverse__one__credential: 'nonsense' });
    const message = connectionFaults.get('one')?.find(({ setting }) => setting.endsWith('credential'))?.message ?? '';
    const kinds = message.replace('must be one of ', '').split(', ');
    const written = template('types.bicep').text.match(/^ {2}credential: (.*)$/m)?.[1] ?? '';
    expect(written.split(' | ')).toEqual(kinds.map((kind) => `'${kind}'`));
  });

  test('that the template writes are accepted by the code', () => {
    const settings = parseSettings({
      AzureWebJobsStorage__blobServiceUri: 'https://stbridgedev.blob.core.windows.net/',
      AzureWebJobsStorage__queueServiceUri: 'https://stbridgedev.queue.core.windows.net/',
      AzureWebJobsStorage__tableServiceUri: 'https://stbridgedev.table.core.windows.net/',
      MANAGED_IDENTITY_CLIENT_ID: '11111111-1111-4111-8111-111111111111',
      KEY_VAULT_URI: 'https://kv-bridge-dev.vault.azure.net/',
      BRIDGE_AUTH: 'keys',
      BRIDGE_WRITES: 'enabled',
      BRIDGE_DOCS: 'keyed',
      ...example(),
    });
    expect(settings.faults).toEqual([]);
    expect([...settings.connectionFaults.values()]).toEqual([]);
    expect([...settings.connections.keys()]).toEqual(['default']);
  });

  /** The connections of main.bicepparam as settings. */
  function example(): Record<string, string> {
    const connections = literal(
      template('main.bicepparam').declarations.find(({ name }) => name === 'connections')?.value,
    );
    if (!Array.isArray(connections)) throw new Error('main.bicepparam has no connections');
    return Object.fromEntries(
      connections.flatMap(({ name, ...given }: Record<string, unknown>) =>
        Object.entries({ tenantId: 'contoso.com', clientId: '22222222-2222-4222-8222-222222222222', ...given }).map(
          ([property, value]) => [
            `Dataverse__${name}__${property}`,
            Array.isArray(value) ? value.join(',') : String(value),
          ],
        ),
      ),
    );
  }
});

describe('what the app keeps in storage', () => {
  const names = (variable: string): string[] => {
    const declared = template('modules/storage.bicep').declarations.find(({ name }) => name === variable);
    return (declared?.value ? namedChildren(declared.value) : []).map((node) => String(literal(node))).sort();
  };

  test('has a queue for each that the code writes to or is triggered by, and its poison queue', () => {
    expect(names('queueNames')).toEqual(found(/QUEUE = '([a-z0-9-]+)'/g));
    expect(found(/queue\('([a-z0-9-]+)'/g)).toEqual([]);
    const queues = template('modules/storage.bicep').declarations.find(({ name }) => name === 'queues');
    expect(queues?.node.text).toMatch(/concat\(queueNames, map\(queueNames, (\w+) => '\$\{\1\}-poison'\)\)/);
  });

  test('has a container for each that the code writes to, and the inbox of the sample', () => {
    const sample = JSON.parse(readFileSync(join(root, 'src/local/sample/nasdaq-accounts.json'), 'utf8'));
    const [inbox = ''] = String(sample.source.path).split('/');
    expect(names('containerNames')).toEqual(unique([inbox, ...found(/CONTAINER = '([a-z0-9-]+)'/g)]));
    expect(found(/blobs\('([a-z0-9-]+)'/g)).toEqual([]);
  });

  test('has a table for each that the code writes to', () => {
    expect(names('tableNames')).toEqual(
      unique([...found(/TABLE = '([a-z0-9]+)'/g), ...found(/\.table\('([a-z0-9]+)'/g)]),
    );
  });

  test('has the container of the package, which the app is started from', () => {
    const { text } = template('modules/storage.bicep');
    expect(text).toMatch(/'\$\{account\.properties\.primaryEndpoints\.blob\}\$\{deploymentContainer\}'/);
    expect(text).toContain('concat([deploymentContainer], containerNames)');
  });
});

describe('alerts', () => {
  const { text, declarations } = template('modules/alerts.bicep');
  const queries = [...text.matchAll(/query: '([^']*)'/g)].map((match) => match[1] ?? '');

  test('stand on failures, throttling, broken connections, poison messages and the end of credentials', () => {
    const rules = declarations.filter(({ target, existing }) => !existing && target?.includes('scheduledQueryRules'));
    const names = ['failures', 'throttling', 'connectionFailures', 'poisonMessages', 'credentialExpiry'];
    expect(rules.map(({ name }) => name)).toEqual(names);
    expect(queries.length).toBe(names.length);
    expect(text.match(/actionGroups: \[actionGroup\.id\]/g)?.length).toBe(names.length);
  });

  test('look for messages that the code logs', () => {
    const messages = queries.flatMap((query) =>
      [...query.matchAll(/Message startswith "([^"]+)"/g)].map((match) => match[1] ?? ''),
    );
    expect(messages.length).toBe(3);
    const logged = sources.filter(({ file }) => file === 'src/functions/connections.ts').map(({ text: code }) => code);
    expect(messages.filter((message) => !logged.join().includes(`'${message}'`))).toEqual([]);
  });

  test('look for metrics that the code emits, by attributes that it gives them', () => {
    const metrics = queries.flatMap((query) =>
      [...query.matchAll(/Name == "([^"]+)"/g)].map((match) => match[1] ?? ''),
    );
    expect(metrics).toEqual([METRICS.dataverseThrottled.name]);
    const attributes = queries.flatMap((query) =>
      [...query.matchAll(/Properties\["([^"]+)"\]/g)].map((match) => match[1] ?? ''),
    );
    const code = sources
      .filter(({ file }) => file === 'src/dataverse/observe-requests.ts')
      .map(({ text: each }) => each);
    expect(attributes).toEqual(['bridge.connection']);
    expect(attributes.filter((name) => !code.join().includes(`'${name}'`))).toEqual([]);
  });

  test('read tables that Application Insights writes to', () => {
    expect(unique(queries.map((query) => query.split(' ')[0] ?? ''))).toEqual([
      'AppMetrics',
      'AppRequests',
      'AppTraces',
    ]);
    expect(template('modules/monitoring.bicep').text).toContain('WorkspaceResourceId: workspace.id');
  });
});
