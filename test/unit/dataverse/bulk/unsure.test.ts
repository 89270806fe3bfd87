import { expect, test } from 'vitest';
import { afterRefusal } from '../../../../src/dataverse/bulk/decisions.ts';
import { DataverseError } from '../../../../src/dataverse/errors.ts';

test('a row that may be written is not told as refused because a right is gone by now', () => {
  const error = new DataverseError('forbidden', 'Dataverse answered 403.', { status: 403 });
  const refusal = { send: 'update', id: '00000000-0000-4000-8000-000000000001', error } as const;
  const told = (unsure: boolean) => afterRefusal(refusal, { unsure, lookedUp: true });
  expect(told(true)).toMatchObject({ outcome: 'rejected', error: { code: 'outcomeUnknown' } });
  expect(told(false)).toMatchObject({ outcome: 'rejected', error: { code: 'forbidden' } });
});
