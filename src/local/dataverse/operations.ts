import { noResourceFor, notEmulated, unexpected, WireError } from './errors.ts';
import type { RowEvent } from './events/row-event.ts';
import {
  type BatchAnswer,
  type BatchAnswerPart,
  BatchFormatError,
  type BatchOperation,
  parseBatch,
  writeBatchResponse,
} from './multipart.ts';
import { splitUrl } from './odata/path.ts';
import { parseQuery } from './odata/query.ts';
import { parsePreferences } from './preferences.ts';
import type { Reply } from './reply.ts';
import type { ApiRequest, OperationFacts } from './request.ts';
import { execute, factsOf } from './route.ts';
import type { Caller } from './security.ts';
import type { RunSynchronousSteps } from './synchronous-steps.ts';
import type { Environment, RowReference, Work } from './work.ts';

/** What all operations of one HTTP request share. */
export interface Session {
  readonly env: Environment;
  readonly caller: Caller;
  /** `https://host/api/data/v9.2/` */
  readonly root: string;
  readonly correlationId: string;
  readonly requestId: string;
  /** Told of every operation inside a `$batch`. */
  noteOperation(request: ApiRequest, facts: OperationFacts, status: number): void;
  /** Tells synchronous steps of what is about to be committed; undefined when none listens. */
  readonly runSynchronousSteps: RunSynchronousSteps;
  /** Takes the events of what was committed. */
  publish(events: readonly RowEvent[]): void;
  /** Told of errors that are the emulator's own fault. */
  noteFault(error: unknown): void;
}

const BATCH = /^(?:\$|%24)batch\/?$/i;

/** Carries out one request, `$batch` or not, and answers whatever happens. One at a time: the database has one connection. */
export async function answer(session: Session, request: ApiRequest, facts: OperationFacts): Promise<Reply> {
  if (BATCH.test(request.path)) {
    try {
      return await runBatch(session, request, facts);
    } catch (error) {
      return errorReply(session, request, error);
    }
  }
  return runAlone(session, request, facts);
}

async function runAlone(session: Session, request: ApiRequest, facts: OperationFacts): Promise<Reply> {
  const work = newWork(session, request);
  try {
    const reply = await session.env.store.confirmedTransaction(
      () => execute(work, request, facts),
      () => session.runSynchronousSteps(work.events),
    );
    session.publish(work.events);
    return reply;
  } catch (error) {
    forgetRolledBack(session.env);
    return errorReply(session, request, error);
  }
}

function newWork(session: Session, request: ApiRequest, contentIds?: Map<string, RowReference>): Work {
  return {
    env: session.env,
    caller: session.caller,
    root: session.root,
    correlationId: session.correlationId,
    requestId: session.requestId,
    tag: tagOf(request),
    events: [],
    ...(contentIds ? { contentIds } : {}),
  };
}

function tagOf(request: ApiRequest): string | undefined {
  try {
    return parseQuery(request.rawQuery).tag;
  } catch {
    // The operation itself answers with what is wrong.
    return undefined;
  }
}

/** What was read inside a transaction that is undone may be wrong now. */
function forgetRolledBack(env: Environment): void {
  env.keys.changed();
  env.steps.changed();
}

/** An error as an answer: the service's own body, or none for a 401. */
export function errorReply(session: Pick<Session, 'noteFault'>, request: ApiRequest, thrown: unknown): Reply {
  const isOurs = thrown instanceof WireError;
  if (!isOurs) session.noteFault(thrown);
  const error = isOurs ? thrown : unexpected();
  if (error.status === 401 && error.serviceCode === '') {
    return { status: 401, headers: { 'Content-Type': 'text/plain', ...error.headers }, body: error.message };
  }
  const wants = parsePreferences(request.headers.get('prefer')).wantsAnnotation;
  const annotations: Readonly<Record<string, string>> = {
    'Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus': '0',
    'Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode': '0',
    'Microsoft.PowerApps.CDS.HelpLink':
      'http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a' +
      `${error.serviceCode.replace(/^0x/, '')}&client=platform`,
    'Microsoft.PowerApps.CDS.InnerError.Message': error.message,
  };
  const asked = Object.entries(annotations).filter(([name]) => wants(name));
  const body = {
    error: {
      code: error.serviceCode,
      message: error.message,
      ...Object.fromEntries(asked.map(([name, value]) => [`@${name}`, value])),
    },
  };
  return {
    status: error.status,
    headers: { 'Content-Type': 'application/json; odata.metadata=minimal', ...error.headers },
    body: JSON.stringify(body),
  };
}

async function runBatch(session: Session, request: ApiRequest, facts: OperationFacts): Promise<Reply> {
  if (request.method !== 'POST') throw noResourceFor(`${session.root}$batch`);
  const parts = batchParts(request);
  const goOn = parsePreferences(request.headers.get('prefer')).continueOnError;
  const answers: BatchAnswerPart[] = [];
  let status = 200;
  facts.rows = 0;
  for (const part of parts) {
    facts.rows += part.kind === 'changeSet' ? part.operations.length : 1;
    const answered =
      part.kind === 'changeSet' ? await runChangeSet(session, part.operations) : await runPart(session, part);
    answers.push(answered);
    if (answered.kind === 'changeSet' || answered.status < 400) continue;
    if (goOn) continue;
    status = answered.status;
    break;
  }
  const { contentType, body } = writeBatchResponse(answers, session.env.newId);
  return { status, headers: { 'Content-Type': contentType }, body };
}

function batchParts(request: ApiRequest) {
  try {
    return parseBatch(request.headers.get('content-type') ?? '', request.body);
  } catch (error) {
    if (error instanceof BatchFormatError) throw new WireError(400, error.serviceCode, error.message);
    throw error;
  }
}

async function runPart(session: Session, part: BatchOperation): Promise<BatchAnswer> {
  const request = requestOf(part);
  const facts = factsOf(session.env, request);
  const reply = await runAlone(session, request, facts);
  session.noteOperation(request, facts, reply.status);
  return answerOf(session, reply, undefined);
}

/** Commits all operations or none; a failure is one answer in place of all. */
async function runChangeSet(session: Session, operations: readonly BatchOperation[]): Promise<BatchAnswerPart> {
  const contentIds = new Map<string, RowReference>();
  const answers: BatchAnswer[] = [];
  const events: RowEvent[] = [];
  const notes: (() => void)[] = [];
  let current = requestOf(operations[0]);
  try {
    const runAll = (): void => {
      for (const part of operations) {
        current = requestOf(part, part.contentId);
        if (current.method === 'GET') throw new WireError(400, '0x80060888', 'A change set cannot hold a GET request.');
        const facts = factsOf(session.env, current);
        const work = newWork(session, current, contentIds);
        const reply = execute(work, current, facts);
        notes.push(session.noteOperation.bind(session, current, facts, reply.status));
        events.push(...work.events);
        answers.push(answerOf(session, reply, part.contentId));
      }
    };
    await session.env.store.confirmedTransaction(runAll, () => session.runSynchronousSteps(events));
  } catch (error) {
    forgetRolledBack(session.env);
    const reply = errorReply(session, current, error);
    session.noteOperation(current, factsOf(session.env, current), reply.status);
    return answerOf(session, reply, undefined);
  }
  for (const note of notes) note();
  session.publish(events);
  return { kind: 'changeSet', operations: answers };
}

function requestOf(part: BatchOperation | undefined, contentId?: string): ApiRequest {
  if (!part) return { method: 'POST', path: '', rawQuery: '', headers: new Map(), body: Buffer.alloc(0) };
  const { path, query } = splitUrl(part.url);
  if (BATCH.test(path)) throw notEmulated('A $batch inside a $batch');
  const headers = new Map(part.headers);
  if (contentId !== undefined) headers.set('content-id', contentId);
  return { method: part.method, path, rawQuery: query, headers, body: part.body };
}

/** The headers that stand in a part, in the service's order. */
function answerOf(session: Session, reply: Reply, contentId: string | undefined): BatchAnswer {
  const failed = reply.status >= 400;
  const headers: [string, string][] = failed ? [['REQ_ID', session.requestId]] : [];
  const type = reply.headers['Content-Type'];
  if (type !== undefined) headers.push(['Content-Type', type]);
  headers.push(['OData-Version', '4.0']);
  for (const [name, value] of Object.entries(reply.headers)) {
    if (name !== 'Content-Type') headers.push([name, value]);
  }
  return {
    kind: 'operation',
    status: reply.status,
    headers,
    ...(contentId === undefined ? {} : { contentId }),
    ...(reply.body === undefined ? {} : { body: reply.body }),
  };
}
