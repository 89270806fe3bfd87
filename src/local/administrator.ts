import { Agent, request } from 'undici';
import { BridgeError } from '../shared/errors.ts';
import type { LocalCloud } from './cloud.ts';

/** A request of the administrator was refused. */
export class AdministratorError extends BridgeError<'refused'> {}

/** An administrator: does what the app's own role must not be able to do, and what people do. */
export interface Administrator {
  /** Reads from the Web API. */
  get(path: string): Promise<Record<string, unknown>>;
  /** Creates through the Web API; resolves with the id of what was made. */
  post(path: string, body: unknown): Promise<string>;
  /** Puts a file into a container of the app's storage account, which is made if need be. */
  putBlob(container: string, name: string, content: Buffer): Promise<void>;
  close(): Promise<void>;
}

const STORAGE_VERSION = '2025-05-05';

/** Signs in with the administrator's secret. Trusts the local authority for its own requests only. */
export function openAdministrator(cloud: LocalCloud): Administrator {
  const dispatcher = new Agent({ connect: { ca: cloud.caPem } });
  const { administrator, identity, dataverse, storage } = cloud;
  const tokens = new Map<string, Promise<string>>();

  const send = async (
    method: 'GET' | 'POST' | 'PUT',
    url: string,
    headers: Record<string, string>,
    body?: string | Buffer,
  ) => {
    const answer = await request(url, { dispatcher, method, headers, body: body ?? null });
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
  };
  const signIn = async (resource: string): Promise<string> => {
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: administrator.clientId,
      client_secret: administrator.secret,
      scope: `${resource}/.default`,
    });
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const { status, text } = await send('POST', `${identity.authority}/oauth2/v2.0/token`, type, form.toString());
    if (status !== 200)
      throw new AdministratorError(
        'refused',
        `The local Entra answered the administrator with ${status}: ${text.slice(0, 300)}`,
      );
    return (JSON.parse(text) as { access_token: string }).access_token;
  };
  const call = async (
    resource: string,
    method: 'GET' | 'POST' | 'PUT',
    url: string,
    headers: Record<string, string>,
    body?: string | Buffer,
  ) => {
    const token = tokens.get(resource) ?? signIn(resource);
    tokens.set(resource, token);
    const answer = await send(method, url, { ...headers, authorization: `Bearer ${await token}` }, body);
    const exists = answer.status === 409;
    if (answer.status < 400 || exists) return answer;
    throw new AdministratorError(
      'refused',
      `${method} ${url} was answered with ${answer.status}: ${answer.text.slice(0, 300)}`,
    );
  };
  const webApi = (method: 'GET' | 'POST', path: string, body?: unknown) => {
    const headers = { accept: 'application/json', ...(body !== undefined && { 'content-type': 'application/json' }) };
    return call(
      dataverse.url,
      method,
      dataverse.apiUrl + path,
      headers,
      body === undefined ? undefined : JSON.stringify(body),
    );
  };
  return {
    get: async (path) => JSON.parse((await webApi('GET', path)).text),
    async post(path, body) {
      const { headers } = await webApi('POST', path, body);
      return String(headers['odata-entityid']).match(/\(([0-9a-f-]{36})\)$/)?.[1] ?? '';
    },
    async putBlob(container, name, content) {
      const root = `${storage.blobServiceUri}/${container}`;
      const version = { 'x-ms-version': STORAGE_VERSION };
      const resource = 'https://storage.azure.com';
      await call(resource, 'PUT', `${root}?restype=container`, { ...version, 'content-length': '0' });
      await call(
        resource,
        'PUT',
        `${root}/${encodeURIComponent(name)}`,
        { ...version, 'x-ms-blob-type': 'BlockBlob' },
        content,
      );
    },
    close: () => dispatcher.close(),
  };
}
