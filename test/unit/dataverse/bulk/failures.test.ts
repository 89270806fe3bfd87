import { describe, expect, test } from 'vitest';
import { classify, type FailureClass, remedyFor } from '../../../../src/dataverse/bulk/failures.ts';
import { DataverseError, errorFromAnswer } from '../../../../src/dataverse/errors.ts';
import { BridgeError } from '../../../../src/shared/errors.ts';

const answered = (status: number, code?: string) =>
  errorFromAnswer({
    status,
    contentType: code === undefined ? 'text/html' : 'application/json',
    text: code === undefined ? '<html>' : JSON.stringify({ error: { code, message: '' } }),
  });

test.each<[string, BridgeError, FailureClass]>([
  ['a validation error', answered(400, '0x80044331'), 'refused'],
  ['a missing privilege', answered(403, '0x80040220'), 'refused'],
  ['a missing row', answered(404, '0x80040217'), 'refused'],
  ['a duplicate', answered(412, '0x80040237'), 'refused'],
  ['a message that the table does not have', answered(400, '0x80040800'), 'unsupported'],
  ['an unknown segment', answered(404, '0x8006088A'), 'unsupported'],
  ['a method that is not allowed', answered(405, ''), 'unsupported'],
  ['what is not implemented', answered(501, '0x80040219'), 'unsupported'],
  ['a body too large', answered(413, '0x8004418a'), 'tooLarge'],
  ['a proxy’s 413', answered(413), 'foreign'],
  ['a deadlock', answered(500, '0x80044150'), 'deadlock'],
  ['a SQL time-out', answered(500, '0x80044151'), 'timeout'],
  ['a running customisation', answered(400, '0x80071154'), 'transient'],
  ['the service’s own 500', answered(500, '0x80040216'), 'transient'],
  ['a gateway’s 500', answered(500), 'unknown'],
  ['502', answered(502), 'unknown'],
  ['503 of the service', answered(503, '0x80040216'), 'unknown'],
  ['504', answered(504), 'unknown'],
  ['no answer', new DataverseError('network', 'ECONNRESET'), 'unknown'],
  ['a page of something else', answered(404), 'foreign'],
  ['a limit', answered(429, '0x80072322'), 'limit'],
  ['401', answered(401, ''), 'account'],
  ['a user who is no member', answered(403, '0x80072560'), 'account'],
  ['no token', new BridgeError('tokenRefused', ''), 'account'],
])('%s is told apart', (_, error, expected) => {
  expect(classify(error)).toBe(expected);
});

describe('what is done about', () => {
  test.each<[FailureClass, number, number, string]>([
    ['refused', 10, 0, 'isolate'],
    ['refused', 1, 0, 'refused'],
    ['unsupported', 10, 0, 'form'],
    ['tooLarge', 10, 99, 'halve'],
    ['tooLarge', 1, 0, 'refused'],
    ['timeout', 10, 0, 'halve'],
    ['timeout', 1, 0, 'resend'],
    ['timeout', 10, 6, 'isolate'],
    ['deadlock', 10, 7, 'resend'],
    ['deadlock', 10, 8, 'isolate'],
    ['deadlock', 1, 8, 'refused'],
    ['transient', 10, 2, 'resend'],
    ['transient', 10, 3, 'isolate'],
    ['unknown', 10, 4, 'resend'],
    ['unknown', 1, 5, 'end'],
    ['foreign', 10, 0, 'end'],
    ['limit', 10, 0, 'end'],
    ['account', 10, 0, 'end'],
  ])('%s of %i rows after %i tries is: %s', (failure, rows, tries, expected) => {
    expect(remedyFor(failure, rows, { [failure]: tries })).toBe(expected);
  });

  test('one class does not use up the tries of another', () => {
    expect(remedyFor('deadlock', 10, { unknown: 99, transient: 99 })).toBe('resend');
  });
});
