import { randomUUID } from 'node:crypto';
import { type Config, DynamicsWebApi } from 'dynamics-web-api';
import { afterAll, beforeAll } from 'vitest';
import { type Answer, type Call, client } from '../dataverse/http-client.ts';

/** An environment that the suite is run against. */
export interface Target {
  /** `https://contoso.crm4.dynamics.com` */
  readonly url: string;
  /** A token of a System Administrator of the environment; left out where it asks for none. */
  readonly token?: () => Promise<string>;
  close?(): Promise<void>;
}

/** What the tests of the suite know of it: two clients, and what they have to clean up. */
export interface World {
  readonly url: string;
  readonly apiUrl: string;
  /** Stands in every name that the suite gives, so that runs do not meet each other or other people's rows. */
  readonly mark: string;
  /** dynamics-web-api as it comes from npm. */
  readonly client: DynamicsWebApi;
  /** Another one with other settings. */
  newClient(config: Config): DynamicsWebApi;
  /** Names of the clients' functions that have been called. */
  readonly called: ReadonlySet<string>;
  /** Plain HTTP. */
  readonly call: Call;
  /** Has the row or definition at this address deleted at the end, the last one first. Answers the id. */
  keep(set: string, id: string): string;
  /** Creates a row to be deleted at the end. Answers its id. */
  create(set: string, data: object): Promise<string>;
}

/** Opens the target before the tests of this file and cleans up behind them. */
export function openWorld(open: () => Promise<Target>): World {
  let opened: World | undefined;
  let close: (() => Promise<void>) | undefined;
  const kept: string[] = [];
  const called = new Set<string>();
  const keep = (set: string, id: string): string => {
    kept.push(`${set}(${id})`);
    return id;
  };
  beforeAll(async () => {
    const { token, ...target } = await open();
    close = target.close;
    const settings: Config = {
      serverUrl: target.url,
      dataApi: { version: '9.2' },
      ...(token && { onTokenRefresh: token }),
    };
    const newClient = (config: Config) => noting(new DynamicsWebApi({ ...settings, ...config }), called);
    const apiUrl = new URL('/api/data/v9.2/', target.url).href;
    const whole = newClient({});
    opened = {
      url: target.url,
      apiUrl,
      mark: `suite${randomUUID().replaceAll('-', '').slice(0, 8)}`,
      client: whole,
      newClient,
      called,
      call: async (...request) => client(apiUrl, await token?.())(...request),
      keep,
      create: async (collection, data) => keep(collection, await whole.create<object, string>({ collection, data })),
    };
  });
  afterAll(async () => {
    const left: string[] = [];
    for (const address of kept.reverse()) {
      const answer = await opened?.call('DELETE', address);
      // What a test has deleted, or what went away with another row, is gone already.
      if (answer && answer.status !== 204 && answer.status !== 404) left.push(`${address}: ${answer.text}`);
    }
    await close?.();
    if (left.length > 0) throw new Error(`The suite left behind: ${left.join('\n')}`);
  });
  const now = (): World => {
    if (!opened) throw new Error('The environment is there once tests run');
    return opened;
  };
  return {
    get url() {
      return now().url;
    },
    get apiUrl() {
      return now().apiUrl;
    },
    get mark() {
      return now().mark;
    },
    get client() {
      return now().client;
    },
    get call() {
      return now().call;
    },
    called,
    newClient: (config) => now().newClient(config),
    keep,
    create: (set, data) => now().create(set, data),
  };
}

/** The client itself, but that the names of what is called are noted. */
function noting(client: DynamicsWebApi, called: Set<string>): DynamicsWebApi {
  return new Proxy(client, {
    get(target, name, receiver) {
      if (typeof name === 'string') called.add(name);
      return Reflect.get(target, name, receiver);
    },
  });
}

/** What the client throws for the service's error: `404 0x80040217`. */
export async function refusal(request: Promise<unknown>): Promise<string> {
  try {
    await request;
  } catch (error) {
    const { status, code } = error as { status?: number; code?: string };
    return `${status} ${code}`;
  }
  return 'no error';
}

/** The same of an answer. */
export const refusalOf = ({ status, json }: Answer): string => `${status} ${json?.error?.code}`;
