import { expect, test } from 'vitest';
import { challengedClaims } from '../../../../src/dataverse/wire/claims-challenge.ts';

const claims = '{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}';
const base64 = Buffer.from(claims).toString('base64');

test.each([
  `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", error="insufficient_claims", claims="${base64}"`,
  `Bearer claims="${base64}", error="insufficient_claims"`,
  `bearer claims="${Buffer.from(claims).toString('base64url')}"`,
])('claims are read from %s', (header) => {
  expect(challengedClaims(header)).toBe(claims);
});

test.each([
  undefined,
  '',
  'Bearer authorization_uri=https://login.microsoftonline.com/t/oauth2/authorize, resource_id=https://contoso.crm4.dynamics.com/',
  'Bearer claims=""',
  'Bearer claims="not base64 of JSON"',
  `Bearer claims="${Buffer.from('[1]').toString('base64')}"`,
  `Basic claims="${base64}"`,
  `Bearer noclaims="${base64}"`,
])('no claims are read from %s', (header) => {
  expect(challengedClaims(header)).toBeUndefined();
});
