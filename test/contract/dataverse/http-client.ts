export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  json: any;
}

export type Call = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

/** Speaks to a Web API at `apiUrl`; with `token`, as its user. Nothing here knows the emulator. */
export function client(apiUrl: string, token?: string): Call {
  return async (method, path, body, headers = {}) => {
    const response = await fetch(new URL(path, apiUrl), {
      method,
      headers: {
        Accept: 'application/json',
        'OData-Version': '4.0',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json') && text !== '';
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
  };
}

/** The row id in an `OData-EntityId` header. */
export const idOf = (answer: Answer): string =>
  /\(([0-9a-f-]{36})\)$/.exec(answer.headers.get('odata-entityid') ?? '')?.[1] ?? '';
