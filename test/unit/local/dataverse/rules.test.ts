import { expect, test } from 'vitest';
import { createRules, ruleSchema } from '../../../../src/local/dataverse/rules.ts';
import { newGuid } from '../../../../src/shared/ids.ts';

const facts = { message: 'Create', table: 'account' };
const request = { method: 'POST', path: '/api/data/v9.2/accounts' };

const open = (...rules: unknown[]) => {
  const opened = createRules(newGuid);
  for (const rule of rules) opened.add(ruleSchema.parse(rule));
  return opened;
};

test('there are at most 1000 rules at a time', () => {
  const rules = open(...Array.from({ length: 1000 }, () => ({ action: { delayMs: 0 } })));
  const rule = ruleSchema.parse({ action: { delayMs: 0 } });
  expect(rules.add(rule)).toBeUndefined();
  rules.clear();
  expect(rules.add(rule)).toMatchObject({ seen: 0, acted: 0 });
});

test('what spoils a whole answer passes over the operations inside a batch', () => {
  for (const action of [{ truncate: { parts: 1 } }, { trickle: { pieces: 2, pauseMs: 1 } }, { reset: 'body' }]) {
    const rules = open({ action, times: 1 });
    expect(rules.intervene({ ...request, inBatch: true }, facts)).toEqual({ delayMs: 0, lateMs: 0 });
    expect(rules.intervene(request, facts)).toMatchObject({ sending: {} });
  }
});

test('delays before and after the work add up beside another action', () => {
  const rules = open(
    { action: { delayMs: 5 } },
    { action: { delayMs: 7, when: 'after' } },
    { action: { reset: 'after' } },
    { action: { delayMs: 11, when: 'after' } },
  );
  expect(rules.intervene(request, facts)).toEqual({ delayMs: 5, lateMs: 18, reset: 'after' });
});
