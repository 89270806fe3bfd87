import { readFileSync } from 'node:fs';
import { inject } from 'vitest';
import { startDataverse } from '../../src/local/dataverse/server.ts';
import type { ServiceModel } from '../../src/local/dataverse/service-model.ts';
import { addResource, registerApplication } from '../../src/local/entra/directory.ts';
import { type LocalHost, startHost } from '../../src/local/host/host.ts';
import { trustIn } from '../../src/local/identity.ts';
import { homeTenant } from '../../src/local/identity-state.ts';
import { setSecret } from '../../src/local/key-vault/vault.ts';
import { systemClock } from '../../src/shared/clock.ts';
import {
  CERTIFICATE_NAME,
  ENVIRONMENT_URL,
  mintToken,
  newTestCompany,
  startTestIdentity,
  type TestIdentity,
  useManagedIdentity,
} from './identity.ts';
import { assertNoSecret, type Produced, storedBlobs } from './secret-scan.ts';
import { type FreshStorage, freshStorage, storageCredential } from './storage.ts';

export const KEYS = { function: 'the-function-key', master: 'the-master-key' };
export const WEBHOOK_SECRET = 'the-webhook-secret';

/** What an answer of the app or of the emulator holds. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly json: any;
}

/** What goes wrong on purpose in the emulator; see `src/local/dataverse/rules.ts`. */
export interface Rule {
  readonly match?: { method?: string; path?: string; table?: string; message?: string };
  readonly times?: number;
  readonly after?: number;
  readonly action: Readonly<Record<string, unknown>>;
}

/** What stands behind the app, before it starts. */
export interface World {
  readonly identity: TestIdentity;
  readonly environmentUrl: string;
  readonly storage: FreshStorage;
  /** Settings of a connection as the company's own application, `changes` on top. */
  connection(name: string, changes?: Readonly<Record<string, string>>): Record<string, string>;
}

export interface TestApp extends World {
  readonly host: LocalHost;
  readonly url: string;
  /** The host's log. */
  readonly lines: readonly string[];
  /** Calls a route below `/api/`, with the function key unless told otherwise; `key: null` sends none. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Speaks to Dataverse as its administrator. */
  admin(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Defines an alternate key, unless it was before, and waits until it is active. */
  defineKey(table: string, ...columns: string[]): Promise<void>;
  rule(rule: Rule): Promise<void>;
  clearRules(): Promise<void>;
  /** Requests of the emulator's call log since `forgetCalls`. */
  calls(): Promise<{ method: string; path: string; message: string; status: number; inBatch: boolean }[]>;
  forgetCalls(): Promise<void>;
  /** Throws when an answer, a line of the log or a blob of the whole run holds a secret. */
  assertNoSecret(): Promise<void>;
  /** Ends it all. Throws when an answer, a line of the log or a blob of the whole run holds a secret. */
  close(): Promise<void>;
}

export interface CallOptions {
  readonly key?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | ReadableStream<Uint8Array>;
  readonly type?: string;
}

const ROLE = 'Bridge';
const TABLES = ['Account', 'Contact', 'Lead', 'Opportunity', 'msevtmgt_Event'];

/**
 * Starts the app's own entry file in the local host, behind it everything that it meets in Azure. One app a process,
 * so one start a test file.
 */
export async function startApp(
  options: {
    settings?: (world: World) => Readonly<Record<string, string | undefined>>;
    entry?: string;
    model?: ServiceModel;
  } = {},
): Promise<TestApp> {
  // To write and to read PKCS#12 takes a tenth of a second, once for each test of a connection; contract/connections
  // and npm start use that form.
  const company = newTestCompany(ENVIRONMENT_URL, { contentType: 'application/x-pem-file' });
  const tenant = homeTenant(company.state);
  const administrator = registerApplication(tenant, { name: 'Administrator' });
  setSecret(company.state.vault, 'webhook-main', WEBHOOK_SECRET, { now: systemClock.now() });
  const identity = await startTestIdentity(company);
  const dataverse = await startDataverse({
    tls: serverCertificate(),
    keyStepMs: 1,
    ...(options.model && { model: options.model }),
    auth: trustIn(identity),
    roles: { [ROLE]: bridgeRole() },
    users: [
      {
        clientId: company.application.clientId,
        systemUserId: '0b000000-0000-4000-8000-000000000001',
        roles: [ROLE],
      },
      {
        clientId: administrator.clientId,
        systemUserId: '0b000000-0000-4000-8000-000000000002',
        roles: ['System Administrator'],
      },
    ],
  });
  addResource(tenant, { uri: dataverse.url, name: 'Dataverse' });
  const storage = freshStorage();
  const world: World = {
    identity,
    environmentUrl: dataverse.url,
    storage,
    connection: (name, changes) => connectionOf(identity, dataverse.url, name, changes),
  };
  useManagedIdentity(identity);
  setEnvironment({ ...appSettings(world), ...options.settings?.(world) });

  const lines: string[] = [];
  const host = await startHost({
    entry: options.entry ?? new URL('../../src/index.ts', import.meta.url).pathname,
    hostJson: hostJson(),
    port: 0,
    keys: KEYS,
    storage: { ...storage, credential: storageCredential() },
    log: (line) => lines.push(line),
  });
  const emulator = (method: string, path: string, body?: unknown) =>
    send(`${dataverse.url}/emulator/${path}`, method, {}, body === undefined ? undefined : JSON.stringify(body));
  const answers: Produced[] = [];
  const keys = new Set<string>();
  const app: TestApp = {
    ...world,
    host,
    url: host.url,
    lines,
    async call(method, path, { key = KEYS.function, headers = {}, body, type } = {}) {
      const own = {
        ...(key !== null && { 'x-functions-key': key }),
        ...(type !== undefined && { 'content-type': type }),
      };
      const answer = await send(`${host.url}/api/${path}`, method, { ...own, ...headers }, body);
      const sent = `${answer.text} ${JSON.stringify([...answer.headers])}`;
      answers.push({ where: `the answer to ${method} ${path.split('?')[0]}`, text: sent });
      return answer;
    },
    async admin(method, path, body) {
      const token = await mintToken(identity, dataverse.url, administrator);
      const headers = {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        'content-type': 'application/json',
      };
      return send(dataverse.apiUrl + path, method, headers, body === undefined ? undefined : JSON.stringify(body));
    },
    async defineKey(table, ...columns) {
      if (keys.has([table, ...columns].join())) return;
      keys.add([table, ...columns].join());
      const answer = await app.admin('POST', `EntityDefinitions(LogicalName='${table}')/Keys`, {
        SchemaName: `new_${columns.join('_')}_key`,
        DisplayName: { LocalizedLabels: [{ Label: columns.join(' and '), LanguageCode: 1033 }] },
        KeyAttributes: columns,
      });
      if (answer.status !== 204) throw new Error(answer.text);
      await dataverse.idle();
    },
    async rule(rule) {
      const answer = await emulator('POST', 'rules', rule);
      if (answer.status !== 201) throw new Error(answer.text);
    },
    async clearRules() {
      await emulator('DELETE', 'rules');
    },
    calls: async () => (await emulator('GET', 'calls')).json,
    async forgetCalls() {
      await emulator('DELETE', 'calls');
    },
    async assertNoSecret() {
      const log = lines.map((text): Produced => ({ where: 'the log', text }));
      assertNoSecret([...answers, ...log, ...(await storedBlobs(storage))], secretsOf(identity));
    },
    async close() {
      await host.close();
      await dataverse.close();
      await identity.close();
      await app.assertNoSecret();
    },
  };
  return app;
}

/** What only the vault, the host and the platform may know. */
const secretsOf = ({ company, managedIdentity }: TestIdentity): string[] => [
  KEYS.function,
  KEYS.master,
  managedIdentity.header,
  ...company.state.vault.secrets.flatMap(({ versions }) => versions.map(({ value }) => value)),
  ...company.state.vault.certificates.flatMap(({ versions }) => versions.map(({ keyPem }) => keyPem)),
];

function serverCertificate(): { cert: string; key: string } {
  const { certFile, keyFile } = inject('authority');
  return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
}

/** Rows of a few tables, and to read what their lookups point at. */
function bridgeRole(): Record<string, 'Global'> {
  const rights = ['Create', 'Read', 'Write', 'Delete', 'Append', 'AppendTo'];
  const own = TABLES.flatMap((table) => rights.map((right) => `prv${right}${table}`));
  const read = ['User', 'Team', 'BusinessUnit', 'TransactionCurrency'].map((table) => `prvRead${table}`);
  return Object.fromEntries([...own, ...read].map((privilege) => [privilege, 'Global' as const]));
}

function connectionOf(
  identity: TestIdentity,
  url: string,
  name: string,
  changes: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const properties = {
    url,
    tenantId: identity.tenantId,
    clientId: identity.company.application.clientId,
    credential: 'certificate',
    certificateName: CERTIFICATE_NAME,
    tokenUrl: `${identity.authority}/oauth2/v2.0/token`,
    ...changes,
  };
  return Object.fromEntries(
    Object.entries(properties).map(([property, value]) => [`Dataverse__${name}__${property}`, value]),
  );
}

function appSettings({ identity, storage, connection }: World): Record<string, string> {
  return {
    AzureWebJobsStorage__blobServiceUri: storage.blobServiceUri,
    AzureWebJobsStorage__queueServiceUri: storage.queueServiceUri,
    AzureWebJobsStorage__tableServiceUri: storage.tableServiceUri,
    KEY_VAULT_URI: identity.vaultUri,
    ...connection('default', { allowedTables: 'account,contact,lead' }),
    Webhook__main__secretName: 'webhook-main',
  };
}

/** The worker of a test file is a process of its own, so its environment is the app's. */
function setEnvironment(settings: Readonly<Record<string, string | undefined>>): void {
  for (const name of Object.keys(process.env)) {
    if (/^(Dataverse__|Webhook__|BRIDGE_|KEY_VAULT_URI$|MANAGED_IDENTITY_CLIENT_ID$|AzureWebJobsStorage)/.test(name)) {
      delete process.env[name];
    }
  }
  for (const [name, value] of Object.entries(settings)) if (value !== undefined) process.env[name] = value;
}

/** The app's own host.json, looking for messages more often. */
function hostJson(): unknown {
  const own = JSON.parse(readFileSync(new URL('../../host.json', import.meta.url), 'utf8'));
  // Not oftener: there are five queues, and each look into one costs what a call of the app does.
  own.extensions.queues.maxPollingInterval = '00:00:01';
  return own;
}

async function send(
  url: string,
  method: string,
  headers: Readonly<Record<string, string>>,
  body?: CallOptions['body'],
): Promise<Answer> {
  const streamed = body instanceof ReadableStream;
  const response = await fetch(url, {
    method,
    headers,
    // @types/node knows no Uint8Array<ArrayBufferLike> as a body.
    ...(body !== undefined && { body: typeof body === 'string' || streamed ? body : Buffer.from(body) }),
    ...(streamed && { duplex: 'half' }),
  });
  const text = await response.text();
  const isJson = /^application\/(problem\+)?json/.test(response.headers.get('content-type') ?? '') && text !== '';
  return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
}

/** The lines of an NDJSON answer: its rows, and the summary or problem that ends it. */
export function linesOf(answer: Answer) {
  const values = answer.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const end = values.pop();
  return { rows: values, summary: end?.summary, problem: end?.problem };
}
