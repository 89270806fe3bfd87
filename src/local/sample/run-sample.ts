import { readFile } from 'node:fs/promises';
import { systemClock } from '../../shared/clock.ts';
import { BridgeError } from '../../shared/errors.ts';
import { type Administrator, openAdministrator } from '../administrator.ts';
import type { LocalCloud } from '../cloud.ts';
import { type App, callApp } from './call-app.ts';

/** A step of the sample did not give what it must give. */
export class SampleError extends BridgeError<'sampleFailed'> {}

/** A run as the app tells it, of which the sample needs this. */
export interface RunStatus {
  readonly state: string;
  readonly input: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly left: number;
  readonly calls: number;
  readonly throttled: { readonly count: number; readonly waitedMs: number };
  readonly rowsPerSecond: number;
  readonly etaSeconds?: number;
  readonly writing?: { readonly concurrency: number; readonly batchSize: number };
}

export interface SampleRun extends RunStatus {
  readonly file: string;
  readonly seconds: number;
}

/** Who hears of the sample: a line for each step, and how far a run is whenever that was asked. */
export interface Audience {
  tell(line: string): void;
  progress(file: string, run: RunStatus): void;
}

export interface SampleResult {
  readonly runs: readonly SampleRun[];
  readonly events: { readonly expected: number; readonly received: number };
}

export const ACTIVATION = 'nasdaq-accounts';
const FILES = ['nasdaq-listed-2026-06.csv', 'nasdaq-listed-2026-07.csv'] as const;
const POLL_MS = 100;
const LONGEST_WAIT_MS = 120_000;

/**
 * The main job, as a company would do it: an administrator defines the alternate key, the activation is stored with
 * its schedule paused, the first list is sent, the administrator registers the webhook, the second list is sent, and
 * the events of the changed rows are awaited. Throws SampleError.
 */
export async function runSample(cloud: LocalCloud, app: App, audience: Audience): Promise<SampleResult> {
  const { tell } = audience;
  const administrator = openAdministrator(cloud);
  try {
    await makeKey(administrator);
    tell('Alternate key on account(accountnumber) is active; an administrator made it.');
    await storeActivation(app);
    const first = await sendFile(administrator, app, FILES[0], audience);
    await registerWebhook(administrator, app, cloud.settings.webhookSecret);
    tell('Webhook steps for Create and Update of account are registered; an administrator did it.');
    const second = await sendFile(administrator, app, FILES[1], audience);
    const expected = (second.counts['created'] ?? 0) + (second.counts['updated'] ?? 0);
    const received = await awaitEvents(app, expected);
    return { runs: [first, second], events: { expected, received } };
  } finally {
    await administrator.close();
  }
}

const label = (text: string) => ({ LocalizedLabels: [{ Label: text, LanguageCode: 1033 }] });

async function makeKey(administrator: Administrator): Promise<void> {
  const account = "EntityDefinitions(LogicalName='account')/Keys";
  const query = `${account}?$select=KeyAttributes,EntityKeyIndexStatus`;
  const status = async (): Promise<unknown> => {
    const { value } = (await administrator.get(query)) as {
      value: { KeyAttributes: string[]; EntityKeyIndexStatus: string }[];
    };
    return value.find((key) => key.KeyAttributes.join() === 'accountnumber')?.EntityKeyIndexStatus;
  };
  if ((await status()) === undefined) {
    const key = {
      SchemaName: 'new_AccountNumberKey',
      DisplayName: label('Account number'),
      KeyAttributes: ['accountnumber'],
    };
    await administrator.post(account, key);
  }
  await until('the alternate key is active', async () => ((await status()) === 'Active' ? true : undefined));
}

async function storeActivation(app: App): Promise<void> {
  const definition = await readFile(new URL('nasdaq-accounts.json', import.meta.url), 'utf8');
  await callApp(app, 'PUT', `activations/${ACTIVATION}`, { admin: true, body: definition });
  await callApp(app, 'POST', `activations/${ACTIVATION}/pause`, { admin: true });
}

/** Puts a file where the activation's source looks for it, starts a run and waits for its end. */
async function sendFile(
  administrator: Administrator,
  app: App,
  file: string,
  { tell, progress }: Audience,
): Promise<SampleRun> {
  await administrator.putBlob('inbox', file, await readFile(new URL(file, import.meta.url)));
  const startedAt = performance.now();
  const { id } = (await callApp(app, 'POST', `activations/${ACTIVATION}/runs`)) as { id: string };
  const run = await until(`the run of ${file} has ended`, async () => {
    const found = (await callApp(app, 'GET', `activations/${ACTIVATION}/runs/${id}`)) as unknown as RunStatus & {
      endedAt?: string;
      problem?: { message: string; errors?: { path: string; message: string }[] };
    };
    if (found.state === 'failed') {
      const { message = '', errors = [] } = found.problem ?? {};
      const details = errors.map((error) => `${error.path} ${error.message}`).join('; ');
      throw new SampleError('sampleFailed', `The run of ${file} failed: ${message} ${details}`.trim());
    }
    if (found.endedAt !== undefined) return found;
    progress(file, found);
    return undefined;
  });
  const result = { ...run, file, seconds: (performance.now() - startedAt) / 1000 };
  tell(`Sent ${file}: ${run.state}, ${run.input} rows in ${result.seconds.toFixed(1)} s.`);
  return result;
}

/** The webhook endpoint and its steps, as the Plug-in Registration Tool makes them (contract 8 = webhook, authtype 5 = header). */
async function registerWebhook(administrator: Administrator, app: App, secret: string): Promise<void> {
  const endpoint = await administrator.post('serviceendpoints', {
    name: 'Dataverse Bridge',
    contract: 8,
    authtype: 5,
    authvalue: `<settings><setting name="x-bridge-key" value="${secret}" /></settings>`,
    url: `${app.url}/api/webhooks/dataverse/main`,
    connectionmode: 1,
    messageformat: 2,
    path: '',
    solutionnamespace: '',
    userclaim: 1,
  });
  for (const message of ['Create', 'Update']) {
    const messageId = await idOf(
      administrator,
      `sdkmessages?$select=sdkmessageid&$filter=name eq '${message}'`,
      'sdkmessageid',
    );
    const filter = `primaryobjecttypecode eq 'account' and sdkmessageid/name eq '${message}'`;
    const filterId = await idOf(
      administrator,
      `sdkmessagefilters?$select=sdkmessagefilterid&$filter=${encodeURIComponent(filter)}`,
      'sdkmessagefilterid',
    );
    await administrator.post('sdkmessageprocessingsteps', {
      name: `Dataverse Bridge: ${message} of account`,
      rank: 1,
      stage: 40,
      mode: 1,
      asyncautodelete: true,
      supporteddeployment: 0,
      'sdkmessageid@odata.bind': `/sdkmessages(${messageId})`,
      'sdkmessagefilterid@odata.bind': `/sdkmessagefilters(${filterId})`,
      'eventhandler_serviceendpoint@odata.bind': `/serviceendpoints(${endpoint})`,
    });
  }
}

async function idOf(administrator: Administrator, path: string, column: string): Promise<string> {
  const { value } = (await administrator.get(path)) as { value: Record<string, string>[] };
  const id = value[0]?.[column];
  if (!id) throw new SampleError('sampleFailed', `Nothing was found at ${path}.`);
  return id;
}

/** Waits until as many events are stored as rows were written, and tells how many there are. */
function awaitEvents(app: App, expected: number): Promise<number> {
  return until('the webhook events have arrived', async () => {
    const received = await countEvents(app);
    return received >= expected ? received : undefined;
  });
}

async function countEvents(app: App): Promise<number> {
  let count = 0;
  let page: string | undefined;
  do {
    const query = `table=account&state=received&pageSize=1000${page === undefined ? '' : `&page=${encodeURIComponent(page)}`}`;
    const answer = (await callApp(app, 'GET', `webhooks/events?${query}`)) as { value: unknown[]; nextPage?: string };
    count += answer.value.length;
    page = answer.nextPage;
  } while (page !== undefined);
  return count;
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = systemClock.now() + LONGEST_WAIT_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (systemClock.now() > deadline) throw new SampleError('sampleFailed', `Gave up waiting until ${what}.`);
    await systemClock.sleep(POLL_MS);
  }
}
