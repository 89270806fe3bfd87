import { notEmulated, WireError } from './errors.ts';
import { parseAuthValue } from './events/auth-value.ts';
import type { EventMessage, StepImage, WebhookAuth, WebhookStep } from './events/row-event.ts';
import type { Catalog } from './metadata.ts';
import type { Store, StoredRow, StoredValue } from './store.ts';

/** The registered webhook steps, read from their tables. */
export interface Steps {
  /** Enabled steps that a change of a row of the table may concern. */
  listening(message: EventMessage, table: string): readonly WebhookStep[];
  /** Must be called when a row of one of the registration tables changes. */
  changed(): void;
}

export const STEP_TABLES: ReadonlySet<string> = new Set([
  'serviceendpoint',
  'sdkmessageprocessingstep',
  'sdkmessageprocessingstepimage',
]);

const WEBHOOK = 8;
const PRE_OPERATION = 20;
const POST_OPERATION = 40;
const SYNCHRONOUS = 0;
const ASYNCHRONOUS = 1;
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

const STEPS_SQL = `
  SELECT step.sdkmessageprocessingstepid AS id, step.name AS name, step.filteringattributes AS filtering,
    step.mode AS mode, step.stage AS stage,
    message.name AS message, filter.primaryobjecttypecode AS "table",
    endpoint.url AS url, endpoint.authtype AS authtype, endpoint.authvalue AS authvalue
  FROM sdkmessageprocessingstep AS step
  JOIN sdkmessage AS message ON message.sdkmessageid = step.sdkmessageid
  JOIN serviceendpoint AS endpoint ON endpoint.serviceendpointid = step.eventhandler
  LEFT JOIN sdkmessagefilter AS filter ON filter.sdkmessagefilterid = step.sdkmessagefilterid
  WHERE step.statecode = 0 ORDER BY step.stage, step.rank, step.rowid`;

const IMAGES_SQL =
  'SELECT entityalias AS alias, imagetype AS kind, attributes AS columns FROM sdkmessageprocessingstepimage ' +
  'WHERE sdkmessageprocessingstepid = ?';

export function openSteps(store: Store, catalog: Catalog): Steps {
  let known: WebhookStep[] | undefined;
  for (const name of [...STEP_TABLES, 'sdkmessage', 'sdkmessagefilter']) {
    const table = catalog.table(name);
    if (table) store.ensure(table);
  }
  const load = (): WebhookStep[] =>
    store.all(STEPS_SQL).flatMap((row) => {
      const step = stepOf(row, store.all(IMAGES_SQL, [row['id'] ?? null]));
      return step ? [step] : [];
    });
  return {
    listening(message, table) {
      known ??= load();
      return known.filter((step) => step.message === message && (step.table ?? table) === table);
    },
    changed() {
      known = undefined;
    },
  };
}

function stepOf(row: StoredRow, images: readonly StoredRow[]): WebhookStep | undefined {
  const message = row['message'];
  if (message !== 'Create' && message !== 'Update' && message !== 'Delete') return undefined;
  const table = row['table'];
  return {
    id: String(row['id']),
    name: String(row['name']),
    message,
    ...(typeof table === 'string' && table !== 'none' ? { table } : {}),
    enabled: true,
    mode: row['mode'] === SYNCHRONOUS ? 'synchronous' : 'asynchronous',
    stage: row['stage'] === PRE_OPERATION ? PRE_OPERATION : POST_OPERATION,
    filteringAttributes: listOf(row['filtering']),
    images: images.map(imageOf),
    endpoint: { url: String(row['url']), auth: authOf(row['authtype'], row['authvalue']) },
  };
}

const IMAGE_KINDS: readonly StepImage['kind'][] = ['pre', 'post', 'both'];

const imageOf = (row: StoredRow): StepImage => ({
  alias: String(row['alias']),
  kind: IMAGE_KINDS[Number(row['kind'])] ?? 'both',
  columns: listOf(row['columns']),
});

const authOf = (type: StoredValue | undefined, value: StoredValue | undefined): WebhookAuth =>
  value === null || value === undefined ? { kind: 'header', pairs: [] } : parseAuthValue(Number(type), String(value));

const listOf = (text: StoredValue | undefined): string[] =>
  String(text ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');

/**
 * Refuses a registration that the emulator could not honour: endpoints other than webhooks or outside this machine,
 * steps in other stages than 20 and 40. `row` is the row as it will be stored. Throws WireError.
 */
export function checkRegistration(table: string, row: StoredRow): void {
  if (table === 'serviceendpoint') checkEndpoint(row);
  else if (table === 'sdkmessageprocessingstep') {
    const { stage, mode } = row;
    const known =
      mode === SYNCHRONOUS ? [PRE_OPERATION, POST_OPERATION] : mode === ASYNCHRONOUS ? [POST_OPERATION] : [];
    if (!known.some((one) => one === stage)) throw notEmulated(`A step of mode ${mode} in stage ${stage}`);
    if (row['eventhandler__type'] !== 'serviceendpoint') throw notEmulated('A step without a service endpoint');
  }
}

function checkEndpoint(row: StoredRow): void {
  if (row['contract'] !== WEBHOOK) throw notEmulated(`A service endpoint with contract ${row['contract']}`);
  const url = typeof row['url'] === 'string' && URL.canParse(row['url']) ? new URL(row['url']) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new WireError(400, '0x80050203', 'The endpoint URL of a webhook must be an absolute http or https URL.');
  }
  // The emulator must not become a way to reach other machines.
  if (!LOOPBACK.has(url.hostname)) throw notEmulated(`A webhook to ${url.hostname}, which is not this machine,`);
  try {
    authOf(row['authtype'], row['authvalue']);
  } catch (error) {
    throw new WireError(400, '0x80040203', error instanceof Error ? error.message : 'Invalid argument.');
  }
}
