import { afterAll, beforeAll, expect } from 'vitest';
import { type DataverseOptions, startDataverse } from '../../../src/local/dataverse/server.ts';
import { type Call, client, idOf } from './environment.ts';

/** One emulator for all tests of a file, filled once; whatever fails inside it fails the file. */
export function queryEnvironment<Rows>(
  options: Partial<DataverseOptions>,
  fill: (call: Call) => Promise<Rows>,
): { readonly call: Call; readonly apiUrl: string; readonly rows: Rows } {
  const faults: string[] = [];
  let opened: { call: Call; apiUrl: string; rows: Rows; close(): Promise<void> } | undefined;
  beforeAll(async () => {
    const dataverse = await startDataverse({ auth: { kind: 'none' }, log: (line) => faults.push(line), ...options });
    const call = client(dataverse.apiUrl);
    opened = { call, apiUrl: dataverse.apiUrl, rows: await fill(call), close: () => dataverse.close() };
  });
  afterAll(async () => {
    await opened?.close();
    expect(faults).toEqual([]);
  });
  const now = () => {
    if (!opened) throw new Error('The environment is there once tests run');
    return opened;
  };
  return {
    get call() {
      return now().call;
    },
    get apiUrl() {
      return now().apiUrl;
    },
    get rows() {
      return now().rows;
    },
  };
}

/** Creates a row and answers its id. */
export async function create(call: Call, set: string, body: Record<string, unknown>): Promise<string> {
  const answer = await call('POST', set, body);
  if (answer.status !== 204) throw new Error(answer.text);
  return idOf(answer);
}
