import type { ServiceModel } from '../../../src/local/dataverse/service-model.ts';
import { systemClock } from '../../../src/shared/clock.ts';

/** A service to be measured, and the model that it follows. */
export interface Environment {
  readonly apiUrl: string;
  readonly model: ServiceModel;
  /** At most so many rows, of which each costs the service so much, for one measurement to stay below its limits. */
  atMost(rows: number, cost: { readonly ms: number; readonly requests: number }): number;
  /** Waits until limits have forgotten what was done before. */
  rest(): Promise<void>;
}

/** What a measurement uses up of a window, so that the limits play no part in it. */
const SHARE_OF_WINDOW = 0.7;

export function environmentAt(apiUrl: string, model: ServiceModel): Environment {
  const { limits } = model;
  return {
    apiUrl,
    model,
    atMost(rows, { ms, requests }) {
      if (!limits) return rows;
      const byTime = limits.executionMs === null ? rows : (SHARE_OF_WINDOW * limits.executionMs) / ms;
      const byNumber = limits.requests === null ? rows : (SHARE_OF_WINDOW * limits.requests) / requests;
      return Math.max(1, Math.floor(Math.min(rows, byTime, byNumber)));
    },
    async rest() {
      if (limits) await systemClock.sleep(limits.windowMs + 1000);
    },
  };
}

/** Sees to an active key on account numbers. */
export async function ensureKey(apiUrl: string): Promise<void> {
  const headers = { authorization: 'Bearer bench', 'content-type': 'application/json', accept: 'application/json' };
  const keys = new URL("EntityDefinitions(LogicalName='account')/Keys", apiUrl);
  const isActive = async (): Promise<boolean> => {
    const answer = await fetch(keys, { headers });
    if (!answer.ok) throw new Error(`${keys} answered ${answer.status}: ${await answer.text()}`);
    const { value } = (await answer.json()) as { value: { KeyAttributes: string[]; EntityKeyIndexStatus: string }[] };
    return value.some((key) => key.KeyAttributes.join() === 'accountnumber' && key.EntityKeyIndexStatus === 'Active');
  };
  if (await isActive()) return;
  const label = { LocalizedLabels: [{ Label: 'Number', LanguageCode: 1033 }] };
  const body = JSON.stringify({ SchemaName: 'new_number', DisplayName: label, KeyAttributes: ['accountnumber'] });
  const answer = await fetch(keys, { method: 'POST', headers, body });
  if (!answer.ok) throw new Error(`The key was refused with ${answer.status}: ${await answer.text()}`);
  while (!(await isActive())) await systemClock.sleep(200);
}
