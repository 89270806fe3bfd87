import { STATUS_CODES } from 'node:http';
import { BridgeError } from '../../shared/errors.ts';
import { noResourceFor, urlTooLong, WireError } from './errors.ts';
import type { RowEvent } from './events/row-event.ts';
import { actingUser, IMPERSONATION_HEADERS } from './impersonation.ts';
import {
  type BatchAnswer,
  type BatchAnswerPart,
  BatchFormatError,
  type BatchOperation,
  type BatchPart,
  parseBatch,
  writeBatchResponse,
} from './multipart.ts';
import { splitUrl } from './odata/path.ts';
import { errorReply, forgetRolledBack, newWork, runAlone, type Session } from './operations.ts';
import { parsePreferences } from './preferences.ts';
import { JSON_TYPE, type Reply } from './reply.ts';
import type { ApiRequest, OperationFacts } from './request.ts';
import { execute, factsOf, refuseHeaders } from './route.ts';
import type { RowReference } from './work.ts';

/** Documented: twice the length that a URL outside a batch may have. */
const URL_MAX = 65_536;

const BATCH = /^(?:\$|%24)batch\/?$/i;

/** A rule resets the connection: nobody gets an answer. */
type Reset = 'reset';

/**
 * Carries out one request, `$batch` or not, and answers whatever happens; undefined when a rule for an operation inside
 * resets the connection. One at a time: the database has one connection.
 */
export async function answer(session: Session, request: ApiRequest, facts: OperationFacts): Promise<Reply | undefined> {
  if (!BATCH.test(request.path)) return runAlone(session, request, facts);
  try {
    return await runBatch(session, request, facts);
  } catch (error) {
    return errorReply(session, request, error);
  }
}

async function runBatch(session: Session, batch: ApiRequest, facts: OperationFacts): Promise<Reply | undefined> {
  if (batch.method !== 'POST') throw noResourceFor(`${session.root}$batch`);
  refuseHeaders(batch);
  actingUser(session.env, session.caller, batch.headers);
  const parts = batchParts(batch);
  const goOn = parsePreferences(batch.headers.get('prefer')).continueOnError;
  const answers: BatchAnswerPart[] = [];
  let status = 200;
  facts.rows = 0;
  for (const part of parts) {
    facts.rows += part.kind === 'changeSet' ? part.operations.length : 1;
    const answered =
      part.kind === 'changeSet'
        ? await runChangeSet(
            session,
            part.operations.map((one) => requestOf(batch, one)),
          )
        : await runPart(session, requestOf(batch, part));
    if (answered === 'reset') return undefined;
    answers.push(answered);
    if (goOn || answered.kind === 'changeSet' || answered.status < 400) continue;
    status = answered.status;
    break;
  }
  const { contentType, body } = writeBatchResponse(answers, session.env.newId);
  // Recorded: the reason of the whole is written in one word, `400 BadRequest`.
  const reason = (STATUS_CODES[status] ?? '').replaceAll(' ', '');
  return { status, reason, headers: { 'Content-Type': contentType }, body };
}

function batchParts(request: ApiRequest): BatchPart[] {
  try {
    return parseBatch(request.headers.get('content-type') ?? '', request.body);
  } catch (error) {
    if (error instanceof BatchFormatError) throw new WireError(400, error.serviceCode, error.message);
    throw error;
  }
}

async function runPart(session: Session, request: ApiRequest): Promise<BatchAnswer | Reset> {
  const facts = factsOf(session.env, request);
  const { reply: invented, reset } = session.intervene(request, facts);
  const reply = invented ?? (reset === 'before' ? undefined : await runOne(session, request, facts));
  if (reply && reset === undefined) {
    session.noteOperation(request, facts, reply.status);
    return answerOf(session, request, reply);
  }
  session.noteOperation(request, facts, 0);
  return 'reset';
}

async function runOne(session: Session, request: ApiRequest, facts: OperationFacts): Promise<Reply> {
  return isTooLong(request) ? errorReply(session, request, urlTooLong()) : runAlone(session, request, facts);
}

const isTooLong = ({ path, rawQuery }: ApiRequest): boolean => path.length + rawQuery.length > URL_MAX;

/** Ends a change set as a rule wants it: with an answer in place of an operation's own, or with none. */
class Intervened extends BridgeError<'intervened'> {
  readonly reply: Reply | undefined;

  constructor(reply: Reply | undefined) {
    super('intervened', 'A rule ended the change set');
    this.reply = reply;
  }
}

/** Commits all operations or none; a failure is one answer in place of all. */
async function runChangeSet(session: Session, requests: readonly ApiRequest[]): Promise<BatchAnswerPart | Reset> {
  const contentIds = new Map<string, RowReference>();
  const answers: BatchAnswer[] = [];
  const events: RowEvent[] = [];
  const notes: { request: ApiRequest; facts: OperationFacts; status: number }[] = [];
  let current: ApiRequest | undefined;
  let resetAtEnd = false;

  const runInside = (request: ApiRequest, facts: OperationFacts): Reply => {
    const { reply, reset } = session.intervene(request, facts);
    if (reset === 'before' || (reply && reply.status >= 400)) throw new Intervened(reply);
    resetAtEnd ||= reset === 'after';
    if (reply) return reply;
    if (isTooLong(request)) throw urlTooLong();
    const work = newWork(session, request, contentIds);
    const done = execute(work, request, facts);
    events.push(...work.events);
    return done;
  };
  const runAll = (): void => {
    for (const request of requests) {
      current = request;
      const facts = factsOf(session.env, request);
      const reply = runInside(request, facts);
      notes.push({ request, facts, status: reply.status });
      answers.push(answerOf(session, request, reply, request.headers.get('content-id')));
    }
  };

  try {
    await session.env.store.confirmedTransaction(runAll, () => session.runSynchronousSteps(events));
  } catch (error) {
    forgetRolledBack(session.env);
    return failedChangeSet(session, current ?? requests[0], error);
  }
  for (const { request, facts, status } of notes) session.noteOperation(request, facts, resetAtEnd ? 0 : status);
  session.publish(events);
  return resetAtEnd ? 'reset' : { kind: 'changeSet', operations: answers };
}

function failedChangeSet(session: Session, request: ApiRequest | undefined, error: unknown): BatchAnswer | Reset {
  const failing = request ?? { method: 'POST', path: '', rawQuery: '', headers: new Map(), body: Buffer.alloc(0) };
  const reply = error instanceof Intervened ? error.reply : errorReply(session, failing, error);
  session.noteOperation(failing, factsOf(session.env, failing), reply?.status ?? 0);
  // No Content-ID: UNCONFIRMED whether the service names the operation that failed.
  return reply ? answerOf(session, failing, reply) : 'reset';
}

/** The operation with what the batch's own headers mean for it: who it acts for. */
function requestOf(batch: ApiRequest, part: BatchOperation): ApiRequest {
  const { path, query } = splitUrl(part.url);
  const headers = new Map(part.headers);
  if (part.contentId !== undefined) headers.set('content-id', part.contentId);
  if (!IMPERSONATION_HEADERS.some((name) => headers.has(name))) {
    for (const name of IMPERSONATION_HEADERS) {
      const value = batch.headers.get(name);
      if (value !== undefined) headers.set(name, value);
    }
  }
  return { method: part.method, path, rawQuery: query, headers, body: part.body };
}

/** The headers that stand in a part, in the service's order. */
function answerOf(session: Session, request: ApiRequest, reply: Reply, contentId?: string): BatchAnswer {
  const headers: [string, string][] = reply.status >= 400 ? [['REQ_ID', session.requestId]] : [];
  const type = reply.headers['Content-Type'];
  // Recorded: what is read inside a batch comes with this type.
  const streamed = request.method === 'GET' && reply.status < 400 && type === JSON_TYPE;
  if (type !== undefined) headers.push(['Content-Type', streamed ? `${type}; odata.streaming=true` : type]);
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
