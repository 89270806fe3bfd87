import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  bodies,
  decorator,
  descendants,
  infra,
  literal,
  namedChildren,
  parseTemplate,
  properties,
  template,
  templates,
} from './bicep.ts';
import { moduleFaults, unresolved, unused } from './references.ts';

const bicep = templates.filter(({ file }) => file.endsWith('.bicep'));

describe.each(templates)('$file', (each) => {
  test('uses no name that is not declared', () => {
    expect(unresolved(each)).toEqual([]);
  });
});

describe.each(bicep)('$file', (each) => {
  test('declares nothing that it does not use', () => {
    expect(unused(each)).toEqual([]);
  });

  test('gives its modules what they take, and takes what they give', () => {
    expect(moduleFaults(each, templates)).toEqual([]);
  });

  test('describes itself and every parameter, type and output', () => {
    expect(each.text).toMatch(/^metadata description = '.+'$/m);
    const described = each.declarations.filter(({ kind }) => kind === 'param' || kind === 'type' || kind === 'output');
    expect(described.filter((one) => !decorator(one, 'description')).map(({ name }) => name)).toEqual([]);
  });

  test('keeps secrets, keys and fixed addresses out', () => {
    expect(each.text).not.toMatch(/@secure|list(Keys|Secrets|AccountSas|ServiceSas)|getSecret|utcNow|newGuid/i);
    expect(each.text).not.toMatch(
      /core\.windows\.net|vault\.azure\.net|azurewebsites|login\.microsoftonline|login\.windows|graph\.microsoft\.com|AccountKey/i,
    );
    const secret = each.declarations.filter(
      ({ kind, name }) =>
        (kind === 'param' || kind === 'output') && /password|pwd|secret|(access|account|api)key/i.test(name),
    );
    expect(secret.map(({ name }) => name)).toEqual(each.file.endsWith('access.bicep') ? ['readsSecrets'] : []);
  });
});

test('every member of a type is described', () => {
  const members = template('types.bicep')
    .declarations.filter(({ kind }) => kind === 'type')
    .flatMap(({ name, value }) =>
      (value ? namedChildren(value) : [])
        .filter(({ type }) => type === 'object_property')
        .map((member) => ({ name: `${name}.${member.text}`, decorators: member.previousNamedSibling })),
    );
  expect(members.length).toBeGreaterThan(20);
  expect(
    members.filter(({ decorators }) => !decorators?.text.includes('@description(')).map(({ name }) => name),
  ).toEqual([]);
});

describe('the reference check tells of', () => {
  const broken = (text: string) => parseTemplate('main.bicep', text);

  test('a name that is not declared, in a lambda and outside of it', () => {
    expect(unresolved(broken('param a string\nvar b = map([a], each => [each, other])\nvar c = each'))).toEqual([
      'main.bicep:2: other',
      'main.bicep:3: each',
    ]);
  });

  test('an unknown function and an unknown type', () => {
    expect(unresolved(broken('param a thing\nvar b = listKeys(a)'))).toEqual([
      'main.bicep:1: thing',
      'main.bicep:2: listKeys',
    ]);
  });

  test('a declaration that nothing uses', () => {
    expect(unused(broken("param a string\nvar a2 = 'b'\noutput a string = 'c'"))).toEqual([
      'main.bicep: a',
      'main.bicep: a2',
    ]);
  });

  test('a module that is missing, and one that is used wrongly', () => {
    const text = `import { other } from 'types.bicep'
module gone 'modules/gone.bicep' = {
  params: {}
}
module identity 'modules/identity.bicep' = if (true) {
  params: {
    name: 'a'
    location: 'b'
    colour: 'c'
  }
}
output id string = identity!.outputs.resourceId
`;
    expect(moduleFaults(broken(text), templates)).toEqual([
      'other: is not exported by types.bicep',
      'gone: there is no modules/gone.bicep',
      'identity: takes no colour',
      'identity: needs tags',
      'identity: has no output resourceId',
    ]);
  });
});

/** The oldest version that a type may have; `infra/README.md` says why no linter rule does this. */
const VERSIONS: Readonly<Record<string, string>> = {
  'Microsoft.Authorization/roleAssignments': '2022-04-01',
  'Microsoft.Graph/applications': 'v1.0',
  'Microsoft.Graph/servicePrincipals': 'v1.0',
  'Microsoft.Insights/actionGroups': '2023-01-01',
  'Microsoft.Insights/components': '2020-02-02',
  'Microsoft.Insights/diagnosticSettings': '2021-05-01-preview',
  'Microsoft.Insights/scheduledQueryRules': '2023-12-01',
  'Microsoft.KeyVault/vaults': '2026-02-01',
  'Microsoft.ManagedIdentity/userAssignedIdentities': '2024-11-30',
  'Microsoft.OperationalInsights/workspaces': '2025-07-01',
  'Microsoft.Resources/resourceGroups': '2025-04-01',
  'Microsoft.Storage/storageAccounts': '2025-06-01',
  'Microsoft.Storage/storageAccounts/blobServices': '2025-06-01',
  'Microsoft.Storage/storageAccounts/blobServices/containers': '2025-06-01',
  'Microsoft.Storage/storageAccounts/queueServices': '2025-06-01',
  'Microsoft.Storage/storageAccounts/queueServices/queues': '2025-06-01',
  'Microsoft.Storage/storageAccounts/tableServices': '2025-06-01',
  'Microsoft.Storage/storageAccounts/tableServices/tables': '2025-06-01',
  'Microsoft.Web/serverfarms': '2025-03-01',
  'Microsoft.Web/sites': '2025-03-01',
  'Microsoft.Web/sites/basicPublishingCredentialsPolicies': '2025-03-01',
  'Microsoft.Web/sites/config': '2025-03-01',
};

test('no resource has an older API version than the list', () => {
  const resources = bicep.flatMap(({ file, declarations }) =>
    declarations
      .filter(({ kind, target }) => kind === 'resource' && target?.includes('/'))
      .map(({ target = '' }) => ({ file, target })),
  );
  expect(resources.length).toBeGreaterThan(25);
  const old = resources.filter(({ target }) => {
    const [type = '', version = ''] = target.split('@');
    return version < (VERSIONS[type] ?? '~');
  });
  expect(old).toEqual([]);
});

/** Built-in roles that the app may have, and none besides. */
const ROLES: Readonly<Record<string, string>> = {
  blobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b',
  queueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88',
  tableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3',
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb',
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6',
  keyVaultCryptoUser: '12338af0-0e69-4776-bea7-57ae8d297424',
  keyVaultReader: '21090545-7ca7-4776-b22c-e363652d74d2',
};

describe('rights', () => {
  test('are given in one file, to the identity of the app, on one resource each', () => {
    const givers = bicep.filter(({ text }) => text.includes('roleAssignments@')).map(({ file }) => file);
    expect(givers).toEqual(['modules/access.bicep']);
    const assignments = template('modules/access.bicep').declarations.filter(({ target }) =>
      target?.includes('roleAssignments'),
    );
    expect(assignments.length).toBe(4);
    for (const { value, name } of assignments) {
      for (const body of bodies(value)) {
        const given = properties(body).get('properties');
        expect(given && literal(properties(given).get('principalType')), name).toBe('ServicePrincipal');
        expect(['storageAccount', 'component', 'vault']).toContain(properties(body).get('scope')?.text);
      }
    }
  });

  test('are the listed roles under their own names', () => {
    const text = template('modules/access.bicep').text;
    const given = [...text.matchAll(/(\w+)(?: =|:) '([0-9a-f]{8}-[0-9a-f-]{27})'/g)].map(([, name, id]) => [name, id]);
    expect(Object.fromEntries(given)).toEqual(ROLES);
  });

  test('are in place before the app starts', () => {
    const app = template('main.bicep').declarations.find(({ name }) => name === 'functionApp');
    const [body] = bodies(app?.value);
    expect(body && properties(body).get('dependsOn')?.text).toBe('[access]');
  });
});

test('the function app sets nothing that Flex Consumption refuses or ignores', () => {
  const names = new Set([...descendants(template('modules/function-app.bicep').root)].map(({ text }) => text));
  const forbidden =
    `FUNCTIONS_WORKER_RUNTIME FUNCTIONS_WORKER_RUNTIME_VERSION FUNCTIONS_EXTENSION_VERSION WEBSITE_NODE_DEFAULT_VERSION
    WEBSITE_RUN_FROM_PACKAGE WEBSITE_CONTENTAZUREFILECONNECTIONSTRING WEBSITE_CONTENTSHARE WEBSITE_CONTENTOVERVNET
    WEBSITE_SKIP_CONTENTSHARE_VALIDATION WEBSITE_VNET_ROUTE_ALL WEBSITE_DNS_SERVER WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT
    WEBSITE_TIME_ZONE TZ WEBSITE_LOAD_CERTIFICATES SCM_DO_BUILD_DURING_DEPLOYMENT ENABLE_ORYX_BUILD FUNCTIONS_WORKER_PROCESS_COUNT
    FUNCTIONS_MAX_HTTP_CONCURRENCY AzureWebJobsStorage AZURE_CLIENT_ID linuxFxVersion alwaysOn ftpsState use32BitWorkerProcess
    containerSize functionAppScaleLimit preWarmedInstanceCount vnetRouteAllEnabled dnsConfiguration`.split(/\s+/);
  expect(forbidden.filter((name) => names.has(name))).toEqual([]);
});

test('the storage account takes no shared key and the vault no access policy', () => {
  const propertyOf = (file: string, type: string, property: string): unknown => {
    const resource = template(file).declarations.find(({ target }) => target?.startsWith(`${type}@`));
    const [body] = bodies(resource?.value);
    const values = body && properties(body).get('properties');
    return values && literal(properties(values).get(property));
  };
  expect(propertyOf('modules/storage.bicep', 'Microsoft.Storage/storageAccounts', 'allowSharedKeyAccess')).toBe(false);
  expect(propertyOf('modules/storage.bicep', 'Microsoft.Storage/storageAccounts', 'allowBlobPublicAccess')).toBe(false);
  expect(propertyOf('modules/vault.bicep', 'Microsoft.KeyVault/vaults', 'enableRbacAuthorization')).toBe(true);
  expect(propertyOf('modules/monitoring.bicep', 'Microsoft.Insights/components', 'DisableLocalAuth')).toBe(true);
});

test('names in Azure stay within their lengths, however long the parts are', () => {
  const parameters = template('main.bicep').declarations.filter(({ kind }) => kind === 'param');
  const longest = (name: string) =>
    Number(decorator(parameters.find((each) => each.name === name) ?? { decorators: [] }, 'maxLength'));
  const both = longest('workload') + longest('environmentName');
  const suffix = 6;
  expect('kv-'.length + both + 2 + suffix).toBeLessThanOrEqual(24);
  expect('st'.length + both + suffix).toBeLessThanOrEqual(24);
});

test('only the modules of the registration touch Microsoft Graph, and none runs for an existing registration', () => {
  const graph = bicep.filter(
    ({ text }) => text.includes('extension microsoftGraphV1') || text.includes('Microsoft.Graph/'),
  );
  expect(graph.map(({ file }) => file)).toEqual([
    'modules/registration-certificates.bicep',
    'modules/registration.bicep',
  ]);
  const modules = template('main.bicep').declarations.filter(({ target }) =>
    target?.startsWith('modules/registration'),
  );
  expect(modules.length).toBe(2);
  for (const { value } of modules) {
    expect(value?.type).toBe('if_statement');
    expect(value?.namedChildren[0]?.text).toContain("entraApplicationMode == 'create'");
  }
});

test('the example of parameters gives what main.bicep needs, and nothing that it does not take', () => {
  const parameters = template('main.bicep').declarations.filter(({ kind }) => kind === 'param');
  const given = template('main.bicepparam').declarations;
  expect(given.filter(({ name }) => !parameters.some((each) => each.name === name)).map(({ name }) => name)).toEqual(
    [],
  );
  const needed = parameters.filter(({ value }) => value === undefined).map(({ name }) => name);
  expect(needed.filter((name) => !given.some((each) => each.name === name))).toEqual([]);
});

test('rules of the linter are errors, or off for a reason that the README gives', () => {
  const config = JSON.parse(readFileSync(join(infra, 'bicepconfig.json'), 'utf8'));
  expect(config.extensions).toEqual({
    microsoftGraphV1: 'br:mcr.microsoft.com/bicep/extensions/microsoftgraph/v1.0:1.0.0',
  });
  const rules: Record<string, { level: string }> = config.analyzers.core.rules;
  const lenient = Object.keys(rules).filter((rule) => rules[rule]?.level !== 'error');
  const readme = readFileSync(join(infra, 'README.md'), 'utf8');
  expect(lenient.filter((rule) => !readme.includes(`\`${rule}\``))).toEqual([]);
});

describe('the README', () => {
  const readme = readFileSync(join(infra, 'README.md'), 'utf8');
  const named = (pattern: RegExp): string[] => [
    ...new Set([...readme.matchAll(pattern)].map((match) => match[1] ?? '')),
  ];

  test('names commands, scripts and files that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(infra, '../package.json'), 'utf8'));
    const commands = named(/npm run (?:--silent )?([a-z:-]+)/g);
    expect(commands.length).toBeGreaterThan(2);
    expect(commands.filter((command) => !Object.hasOwn(scripts, command))).toEqual([]);
    const paths = [...named(/\b(infra\/scripts\/[a-z-]+\.ts)/g), ...named(/\b(src\/[\w./-]+\.json)/g)];
    expect(paths.length).toBeGreaterThan(2);
    expect(paths.filter((path) => !existsSync(join(infra, '..', path)))).toEqual([]);
    expect(named(/\]\(([^)]+)\)/g).filter((path) => !existsSync(join(infra, path)))).toEqual([]);
  });

  test('reads outputs and sets parameters that the template has', () => {
    const of = (kind: string) =>
      template('main.bicep')
        .declarations.filter((each) => each.kind === kind)
        .map(({ name }) => name);
    const outputs = named(/\$\(output (\w+)/g);
    expect(outputs.length).toBeGreaterThan(4);
    expect(outputs.filter((output) => !of('output').includes(output))).toEqual([]);
    const parameters = [...named(/param (\w+) = /g), ...named(/`(entra\w+)`/g)];
    expect(parameters.filter((parameter) => !of('param').includes(parameter))).toEqual([]);
  });

  test('lists every module', () => {
    const modules = template('main.bicep').declarations.flatMap(({ kind, target }) =>
      kind === 'module' && target ? [target] : [],
    );
    expect(modules.filter((module) => !readme.includes(`(${module})`))).toEqual([]);
  });
});
