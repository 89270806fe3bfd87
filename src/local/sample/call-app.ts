import { BridgeError } from '../../shared/errors.ts';

/** The running app and the keys that open it. */
export interface App {
  /** `http://localhost:<port>` */
  readonly url: string;
  readonly functionKey: string;
  readonly masterKey: string;
}

/** The app answered a call of ours with a problem. */
export class AppCallError extends BridgeError<'refused'> {}

/** Calls a route below `/api/` and resolves with its JSON answer. Throws AppCallError with the problem's text. */
export async function callApp(
  app: App,
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  options: { admin?: boolean; body?: string } = {},
): Promise<Record<string, unknown>> {
  const response = await fetch(`${app.url}/api/${path}`, {
    method,
    headers: {
      'x-functions-key': options.admin ? app.masterKey : app.functionKey,
      ...(options.body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(options.body !== undefined && { body: options.body }),
  });
  const text = await response.text();
  if (!response.ok)
    throw new AppCallError('refused', `${method} ${path} was answered with ${response.status}: ${text.slice(0, 500)}`);
  return text === '' ? {} : JSON.parse(text);
}
