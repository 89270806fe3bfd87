import { describe, expect, test } from 'vitest';
import { parseTemplate, syntaxErrors, templates } from './bicep.ts';
import { resourceFaults } from './resource-types.ts';

test.each(templates)('$file has no syntax error', (template) => {
  expect(template.root.hasError).toBe(false);
  expect(syntaxErrors(template)).toEqual([]);
});

test.each(templates)('every resource of $file fits its type', (template) => {
  expect(resourceFaults(template)).toEqual([]);
});

describe('the type check tells of', () => {
  const SOUND = `param level string
resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: 'kv-sound'
  location: 'westeurope'
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    publicNetworkAccess: 'Enabled'
    softDeleteRetentionInDays: 7
    networkAcls: { defaultAction: 'Deny', ipRules: [{ value: '203.0.113.7' }] }
  }
}
`.replaceAll(', ', '\n');
  const faults = (text: string): string[] => resourceFaults(parseTemplate('made-up.bicep', text));

  test('nothing where all is well', () => {
    expect(faults(SOUND)).toEqual([]);
  });

  test.each([
    ['an unknown property', 'publicNetworkAccess', 'publicNetworkAcces', '.properties.publicNetworkAcces: is unknown'],
    ['an unknown property at the top', 'location:', "kind: 'a'\n  location:", '.kind: is unknown'],
    [
      'an unknown property within an array',
      'value:',
      "note: 'a'\n value:",
      '.properties.networkAcls.ipRules[0].note: is unknown',
    ],
    ['a missing property', /^ {4}tenantId.*\n/m, '', '.properties.tenantId: is missing'],
    ['text for a number', ': 7', ": '7'", 'softDeleteRetentionInDays: is a string instead of number'],
    ['a number for text', "'203.0.113.7'", '203', 'value: is a number instead of string'],
    ['text for an object', /sku: \{[^}]*\}/, "sku: 'standard'", '.properties.sku: is a string instead of object'],
    ['an object for an array', /ipRules: \[([^\]]*)\]/, 'ipRules: $1', 'ipRules: is an object instead of array'],
    ['an array for an object', /sku: \{[^}]*\}/, 'sku: []', '.properties.sku: is an array instead of object'],
    ['a value outside an enumeration', "'standard'", "'basic'", "'basic' is not one of standard, premium"],
    ['a value outside an open enumeration', "'Deny'", "'Refuse'", "'Refuse' is not one of"],
    ['such a value in one branch', "'Deny'", "level == 'a' ? 'Deny' : 'Refuse'", "'Refuse' is not one of"],
    ['a parameter of a wrong type', ': 7', ': level', 'is a string instead of number'],
    ['a parameter that allows a wrong value', /^param level/, "@allowed(['Deny'\n'Refuse'])\nparam level", "'Refuse'"],
    ['a read-only property', 'tenantId:', 'hsmPoolResourceId: level\n    tenantId:', 'hsmPoolResourceId: is read-only'],
    ['an unknown version', '2026-02-01', '2026-02-02', 'unknown type or version'],
    ['an unknown type', '/vaults@', '/vault@', 'unknown type or version'],
  ])('%s', (_, from, to, expected) => {
    const text = expected === "'Refuse'" ? SOUND.replace("'Deny'", 'level') : SOUND;
    const wrong = text.replace(from, to);
    expect(wrong).not.toBe(text);
    expect(faults(wrong)).toEqual([expect.stringContaining(expected)]);
  });

  test('a name that does not fit', () => {
    const group = (name: string) => `resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: '${name}'
  location: 'westeurope'
}
`;
    expect(faults(group('rg-bridge'))).toEqual([]);
    expect(faults(group('rg/bridge'))).toEqual([expect.stringContaining('does not fit length or pattern')]);
  });

  test('a variant that does not exist', () => {
    const policy = (
      name: string,
    ) => `resource policy 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  name: '${name}'
  properties: { allow: false }
}
`;
    expect(faults(policy('scm'))).toEqual([]);
    expect(faults(policy('ssh'))).toEqual([expect.stringContaining('.name: ssh is not one of the known')]);
  });

  test('a fault in a nested resource', () => {
    const text = `resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: 'a'
  displayName: 'a'
  resource trust 'federatedIdentityCredentials@v1.0' = if (true) {
    name: 'a/b'
    audiences: ['api://AzureADTokenExchange']
    issuer: 'https://issuer.example'
  }
}
`;
    expect(faults(text)).toEqual([expect.stringContaining('trust.subject: is missing')]);
  });

  test('a file that cannot be parsed', () => {
    expect(syntaxErrors(parseTemplate('broken.bicep', "param name string = '\nresource"))).not.toEqual([]);
  });
});
