import type { IncomingMessage, ServerResponse } from 'node:http';
import * as z from 'zod';
import { type Clock, isoTime } from '../../shared/clock.ts';
import type { FunctionDefinition } from './function-definitions.ts';
import type { TypedData } from './functions-core.ts';
import { answerEmpty } from './http-exchange.ts';
import type { Call, Invoker } from './invoker.ts';
import { queueMetadata } from './queue-message.ts';
import { timerData } from './timer-listener.ts';

/** What the operator may ask under `/admin/`, with the master key. */
export interface AdminApi {
  /** `path` is what follows `admin/`. */
  answer(request: IncomingMessage, response: ServerResponse, path: readonly string[]): Promise<void>;
}

export interface AdminOptions {
  readonly definitions: readonly FunctionDefinition[];
  readonly invoker: Invoker;
  readonly hostId: string;
  readonly clock: Clock;
  /** Stops the listeners; resolves when their calls are over. */
  readonly drain: () => Promise<void>;
  /** Known once the server listens. */
  readonly baseUrl: () => string;
}

type DrainState = 'Disabled' | 'InProgress' | 'Completed';

// `input` is the trigger's text; the real host takes a string only.
const invocationSchema = z.object({ input: z.string().optional() });
const REASON = 'This function was programmatically called via the host APIs.';
const LARGEST_INPUT = 1024 * 1024;

export function createAdminApi(options: AdminOptions): AdminApi {
  const startedAt = options.clock.now();
  let drainState: DrainState = 'Disabled';

  const drain = (response: ServerResponse): void => {
    if (drainState === 'Disabled') {
      drainState = 'InProgress';
      void options.drain().then(() => {
        drainState = 'Completed';
      });
    }
    answerEmpty(response, 202);
  };
  const hostStatus = () => ({
    id: options.hostId,
    state: 'Running',
    version: 'local',
    processUptime: options.clock.now() - startedAt,
    startedAt: isoTime(startedAt),
  });
  const drainStatus = () => ({
    state: drainState,
    outstandingInvocations: options.invoker.running,
    outstandingRetries: 0,
  });

  return {
    async answer(request, response, path) {
      const [area = '', ...rest] = path.map((part) => part.toLowerCase());
      const route = `${request.method} ${[area, ...rest].join('/')}`;
      switch (route) {
        case 'GET host/status':
          return answerJson(response, 200, hostStatus());
        case 'GET host/ping':
        case 'POST host/ping':
          return answerEmpty(response, 200);
        case 'POST host/drain':
          return drain(response);
        case 'GET host/drain/status':
          return answerJson(response, 200, drainStatus());
        case 'GET functions':
          return answerJson(
            response,
            200,
            options.definitions.map((definition) => functionStatus(definition, options.baseUrl())),
          );
      }
      const definition =
        area === 'functions' && rest.length === 1
          ? options.definitions.find(({ name }) => name.toLowerCase() === rest[0])
          : undefined;
      if (definition && request.method === 'POST') return invoke(definition, options.invoker, request, response);
      if (definition && request.method === 'GET') {
        return answerJson(response, 200, functionStatus(definition, options.baseUrl()));
      }
      answerEmpty(response, 404);
    },
  };
}

function functionStatus({ name, trigger, metadata }: FunctionDefinition, baseUrl: string): object {
  const bindings = Object.entries(metadata.bindings).map(([binding, info]) => ({ ...info, name: binding }));
  return {
    name,
    href: `${baseUrl}/admin/functions/${name}`,
    invoke_url_template: trigger.type === 'http' ? `${baseUrl}/${trigger.route.text}` : null,
    language: 'node',
    isDisabled: false,
    config: { name, bindings },
  };
}

/** Answers 202 before the function has run, as Azure does: only the log tells what became of it. */
async function invoke(
  definition: FunctionDefinition,
  invoker: Invoker,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readJson(request);
  const parsed = invocationSchema.safeParse(body);
  const call = parsed.success ? callOf(definition, parsed.data.input ?? '') : undefined;
  if (!call) {
    const message = parsed.success
      ? 'An HTTP function is called at its own address.'
      : 'The body must be {"input": "text"}.';
    return answerJson(response, 400, { message });
  }
  answerEmpty(response, 202);
  await invoker.run(call);
}

function callOf(definition: FunctionDefinition, input: string): Call | undefined {
  const call = (data: TypedData, triggerMetadata: Record<string, TypedData> = {}): Call => ({
    definition,
    data,
    triggerMetadata,
    reason: REASON,
  });
  switch (definition.trigger.type) {
    case 'timer':
      return call(timerData(undefined, false));
    case 'queue':
      return call({ string: input }, queueMetadata(input, { messageId: '', popReceipt: '', dequeueCount: 0 }));
    case 'http':
      return undefined;
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > LARGEST_INPUT) return undefined;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return undefined;
  }
}

function answerJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(body));
}
