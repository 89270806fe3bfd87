import { BridgeError } from '../../shared/errors.ts';
import { DataverseError } from '../errors.ts';
import type { DataverseRequest } from '../request.ts';
import { backoff } from '../retry.ts';
import { afterRefusal, rowError, unknownOutcome } from './decisions.ts';
import { BATCH_OPERATIONS } from './effort.ts';
import type { Entry } from './entries.ts';
import { classify, type FailureClass, leavesOpen, oneMore, remedyFor, type Tries } from './failures.ts';
import { sameKey } from './keys.ts';
import { type Findings, findRows } from './look-up.ts';
import { type Sent, sendRows, type Verdict } from './send-rows.ts';
import type { Group, Work, Workshop } from './work.ts';

/** Rows of a call that was answered too late are still read back for so long after the write's end. */
const READ_BACK_MS = 10_000;
/** A row whose key leads elsewhere at every look is rejected in the end. */
const MOST_LOOK_UPS = 3;

/**
 * Makes the request and sees to its rows. Resolves with the work that follows. Throws what is no failure of a request:
 * a wait that was ended, before which nothing was sent, and faults of ours.
 */
export function perform(shop: Workshop, work: Work): Promise<readonly Work[]> {
  switch (work.do) {
    case 'lookUp':
      return lookUp(shop, work.entries, work.tries);
    case 'write':
      return write(shop, work.group);
    case 'readBack':
      return readBack(shop, work.group, work.tries);
    default:
      return work satisfies never;
  }
}

const requestOptions = ({ options, waits, calls }: Workshop): Partial<DataverseRequest> => ({
  bulk: true,
  meter: options.meter,
  deadline: options.deadline,
  waitSignal: waits,
  signal: calls,
});

const pause = ({ options, waits }: Workshop, tries: Tries, failure: FailureClass): Promise<void> =>
  options.clock.sleep(backoff(tries[failure] ?? 1, options.random()), waits);

function halves<T>(items: readonly T[]): [readonly T[], readonly T[]] {
  const middle = Math.ceil(items.length / 2);
  return [items.slice(0, middle), items.slice(middle)];
}

async function lookUp(shop: Workshop, entries: readonly Entry[], tries: Tries): Promise<readonly Work[]> {
  const { options } = shop;
  const keys = entries.map(({ row }) => row.key);
  let findings: Findings;
  try {
    findings = await findRows(options, options.strategy, keys, requestOptions(shop));
  } catch (error) {
    if (error instanceof BridgeError) return afterFailedLookUp(shop, entries, tries, error);
    throw error;
  }
  const alone: Work[] = [];
  for (const entry of entries) {
    const found = findings.get(entry.identity);
    entry.lookUps += 1;
    // The service has said that there is a row, but may write its key otherwise than we compare it: asked for just this
    // one, whatever it answers is it.
    if (!found && entry.refusal && entries.length > 1) alone.push({ do: 'lookUp', entries: [entry], tries: {} });
    else shop.decide(entry, found);
  }
  return alone;
}

async function afterFailedLookUp(
  shop: Workshop,
  entries: readonly Entry[],
  before: Tries,
  error: BridgeError,
): Promise<readonly Work[]> {
  const failure = classify(error);
  const tries = oneMore(before, failure);
  const again = (part: readonly Entry[]): Work => ({ do: 'lookUp', entries: part, tries });
  // One key that the service cannot read must not speak against the others.
  const isAboutKeys = failure === 'refused' && error instanceof DataverseError && error.facts.status === 400;
  const remedy = isAboutKeys && entries.length > 1 ? 'halve' : remedyFor(failure, entries.length, before);
  switch (remedy) {
    case 'halve':
      return halves(entries).map(again);
    case 'resend':
      await pause(shop, tries, failure);
      return [again(entries)];
    case 'end':
      shop.fail(error, failure, []);
      return [again(entries)];
    case 'isolate':
    case 'refused':
    case 'form':
      for (const entry of entries) {
        const told = entry.unsure ? unknownOutcome(error) : rowError(entry.refusal?.error ?? error);
        shop.entries.settle(entry, 'rejected', undefined, told);
      }
      return [];
    default:
      return remedy satisfies never;
  }
}

async function write(shop: Workshop, whole: Group): Promise<readonly Work[]> {
  const { group, rest } = portion(shop, whole);
  const { kind, form, entries } = group;
  const timing = { ms: 0 };
  let sent: Sent;
  try {
    const onBody = (bytes: number): void => shop.effort.bodyMade(entries.length, bytes);
    sent = await sendRows(shop.send, form, kind, entries, { ...requestOptions(shop), timing }, onBody);
  } catch (error) {
    if (!shop.calls.aborted) throw error;
    return [...rest, ...leftOpen(group)];
  }
  const next =
    'error' in sent
      ? await afterFailure(shop, group, sent.error, timing.ms)
      : await afterAnswer(shop, group, sent.verdicts, timing.ms);
  return [...next, ...rest];
}

/** What of a group goes into one request, and how; the rest is work of its own. */
function portion(shop: Workshop, group: Group): { group: Group; rest: readonly Work[] } {
  const { entries, kind, tries } = group;
  let { form } = group;
  if (form === 'bulk' && group.bad && entries.length > 1) {
    if (shop.effort.wayToIsolate(kind, entries.length) === 'halves') {
      const [first, sibling] = halves(entries);
      return { group: { kind, form, tries, entries: first, sibling }, rest: [] };
    }
    form = shop.forms.batch ? 'batch' : 'single';
  }
  const most = form === 'bulk' ? entries.length : form === 'batch' ? BATCH_OPERATIONS : 1;
  const part: Group = { ...group, form, entries: entries.slice(0, most) };
  if (entries.length <= most) return { group: part, rest: [] };
  return { group: part, rest: [{ do: 'write', group: { kind, form, tries, entries: entries.slice(most) } }] };
}

/** What becomes of the other half of a group with a bad row, once this half is known to have one or not. */
function siblingOf(shop: Workshop, { kind, form, tries, sibling }: Group, bad: boolean): readonly Work[] {
  if (!sibling) return [];
  if (bad) return [{ do: 'write', group: { kind, form, tries, entries: sibling, bad } }];
  shop.takeBack(kind, sibling);
  return [];
}

/** Work for rows of which nobody knows whether they were written. */
function leftOpen(group: Group): readonly Work[] {
  for (const entry of group.entries) entry.unsure = true;
  return [group.kind === 'create' ? { do: 'readBack', group, tries: {} } : { do: 'write', group }];
}

async function afterAnswer(
  shop: Workshop,
  group: Group,
  verdicts: readonly Verdict[],
  ms: number,
): Promise<readonly Work[]> {
  const { kind, form, entries, tries } = group;
  shop.effort.succeeded(kind, form, entries.length, ms);
  const open: Entry[] = [];
  const again: Entry[] = [];
  const refused = new Map<Entry, DataverseError>();
  const failed = new Map<FailureClass, { readonly error: DataverseError; readonly entries: Entry[] }>();
  let written = 0;
  for (let at = 0; at < entries.length; at += 1) {
    const entry = entries[at];
    const verdict = verdicts[at] ?? 'open';
    if (!entry) break;
    if (verdict === 'done') {
      written += 1;
      shop.entries.succeeded(entry);
    } else if (verdict === 'open') open.push(entry);
    else if (verdict === 'again') again.push(entry);
    else {
      const failure = classify(verdict);
      if (isVerdictOnRow(failure)) refused.set(entry, verdict);
      else if (failed.has(failure)) failed.get(failure)?.entries.push(entry);
      else failed.set(failure, { error: verdict, entries: [entry] });
    }
  }
  const next: Work[] = [];
  afterRefusals(shop, group, refused);
  shop.effort.judged(written, 0);
  const rowByRow = shop.forms.batch ? 'batch' : 'single';
  if (again.length > 0) next.push({ do: 'write', group: { kind, tries, form: rowByRow, entries: again } });
  if (open.length > 0) {
    const error = new DataverseError('network', 'The answer to a batch broke off before its end.');
    failed.set('unknown', { error, entries: [...(failed.get('unknown')?.entries ?? []), ...open] });
  }
  for (const [failure, { error, entries: some }] of failed) {
    if (failure === 'limit') await tellPace(shop, error);
    const part: Group = { kind, form, tries, entries: some };
    next.push(
      ...(failure === 'limit' ? [{ do: 'write' as const, group: part }] : await afterFailure(shop, part, error, 0)),
    );
  }
  return [...next, ...siblingOf(shop, group, refused.size + failed.size === 0)];
}

/** Whether an operation's failure is about its row; else it is about the moment, and the row is sent again. */
const isVerdictOnRow = (failure: FailureClass): boolean =>
  failure === 'refused' || failure === 'unsupported' || failure === 'tooLarge' || failure === 'foreign';

/** A limit that an operation inside a `$batch` met holds for everybody, as that of a whole request. */
async function tellPace({ options, waits }: Workshop, { facts }: DataverseError): Promise<void> {
  options.meter.throttled.count += 1;
  const turn = await options.pace.enter({ signal: waits });
  turn.leave({ ...facts, ms: 0, status: 429 });
}

function afterRefusals(shop: Workshop, { kind }: Group, refusals: ReadonlyMap<Entry, DataverseError>): void {
  const toLookUp: Entry[] = [];
  const rejected: DataverseError[] = [];
  for (const [entry, error] of refusals) {
    const refusal = { send: kind, id: entry.id ?? '', error };
    const decision = afterRefusal(refusal, { unsure: entry.unsure, lookedUp: entry.lookUps > 0 });
    if (decision !== 'lookUp') {
      if ('outcome' in decision && decision.outcome === 'rejected') rejected.push(error);
      shop.entries.follow(entry, decision);
    } else if (entry.lookUps >= MOST_LOOK_UPS) shop.entries.settle(entry, 'rejected', undefined, rowError(error));
    else {
      entry.refusal = refusal;
      entry.turn.id = undefined;
      toLookUp.push(entry);
    }
  }
  shop.refused(refusals.size, rejected);
  shop.lookUp(toLookUp);
}

async function afterFailure(shop: Workshop, group: Group, error: BridgeError, ms: number): Promise<readonly Work[]> {
  const { kind, form, entries } = group;
  const failure = classify(error);
  const tries = oneMore(group.tries, failure);
  if (leavesOpen(failure)) for (const entry of entries) entry.unsure = true;
  const remedy = remedyFor(failure, entries.length, group.tries);
  const again: Group = { ...group, tries };
  switch (remedy) {
    case 'resend':
      if (leavesOpen(failure) && kind === 'create') return [{ do: 'readBack', group: again, tries: {} }];
      await pause(shop, tries, failure);
      return [{ do: 'write', group: again }];
    case 'halve':
      shop.effort.tooLong(kind, entries.length);
      return [
        ...halves(entries).map((half): Work => ({ do: 'write', group: { kind, form, tries, entries: half } })),
        ...siblingOf(shop, group, false),
      ];
    case 'isolate':
      if (form === 'bulk') shop.effort.refused(kind, entries.length, ms);
      return [...isolated(shop, { kind, form, tries: group.tries, entries }), ...siblingOf(shop, group, false)];
    case 'refused':
      return [...refusedAlone(shop, group, error), ...siblingOf(shop, group, false)];
    case 'form':
      return otherForm(shop, group, error);
    case 'end':
      shop.fail(error, failure, entries);
      return leavesOpen(failure) && kind === 'create'
        ? [{ do: 'readBack', group: again, tries: {} }]
        : [{ do: 'write', group: again }];
    default:
      return remedy satisfies never;
  }
}

/**
 * A refused bulk message has a bad row. On an elastic table the others may be written all the same, so halves prove
 * nothing there. A refused `$batch` is refused for itself, and its rows go one by one.
 */
function isolated({ forms, options }: Workshop, group: Group): readonly Work[] {
  const form = group.form === 'bulk' && forms.batch ? 'batch' : 'single';
  const isAtomic = group.form === 'bulk' && !options.table.elastic;
  return [{ do: 'write', group: isAtomic ? { ...group, bad: true } : { ...group, form } }];
}

function refusedAlone(shop: Workshop, group: Group, error: BridgeError): readonly Work[] {
  const [entry] = group.entries;
  if (!entry || !(error instanceof DataverseError)) return [];
  afterRefusals(shop, group, new Map([[entry, error]]));
  return [];
}

/** The service does not know the form: the next best one is taken from now on. */
function otherForm(shop: Workshop, group: Group, error: BridgeError): readonly Work[] {
  if (group.form === 'single') return refusedAlone(shop, group, error);
  shop.forms[group.form] = false;
  const form = shop.forms.batch ? 'batch' : 'single';
  const { kind, tries, entries, sibling = [] } = group;
  return [{ do: 'write', group: { kind, tries, form, entries: [...entries, ...sibling] } }];
}

/** Sees which rows of a create whose answer was lost are there: under the ids made for them they can only be ours. */
async function readBack(shop: Workshop, group: Group, tries: Tries): Promise<readonly Work[]> {
  const { options, waits } = shop;
  const { entries } = group;
  const now = options.clock.now();
  const deadline = waits.aborted ? Math.max(now, options.deadline ?? 0) + READ_BACK_MS : options.deadline;
  const keys = entries.map(({ id = '' }) => ({ id }));
  const request = { bulk: true, meter: options.meter, deadline };
  let findings: Findings;
  try {
    findings = await findRows(options, { kind: 'id' }, keys, request);
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    return afterFailedReadBack(shop, group, tries, error);
  }
  const absent: Entry[] = [];
  for (const entry of entries) {
    if (findings.has(sameKey({ id: entry.id ?? '' }))) shop.entries.succeeded(entry);
    else absent.push(entry);
  }
  if (waits.aborted) for (const entry of absent) entry.unsure = false;
  if (absent.length === 0) return siblingOf(shop, group, true);
  await pause(shop, group.tries, 'unknown');
  return [{ do: 'write', group: { ...group, entries: absent } }];
}

async function afterFailedReadBack(
  shop: Workshop,
  group: Group,
  before: Tries,
  error: BridgeError,
): Promise<readonly Work[]> {
  const failure = classify(error);
  const tries = oneMore(before, failure);
  const remedy = remedyFor(failure, 1, before);
  if (remedy === 'resend') {
    await pause(shop, tries, failure);
    return [{ do: 'readBack', group, tries }];
  }
  if (remedy === 'end') shop.fail(error, failure, group.entries);
  // Where the rows may not be read, sending them again tells: those that are there are refused as duplicates.
  return [{ do: 'write', group: { ...group, tries: oneMore(group.tries, failure) } }];
}
