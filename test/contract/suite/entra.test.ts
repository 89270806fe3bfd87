import { readFileSync } from 'node:fs';
import { ConfidentialClientApplication } from '@azure/msal-node';
import { afterAll, expect, inject } from 'vitest';
import { startDataverse } from '../../../src/local/dataverse/server.ts';
import { addResource } from '../../../src/local/entra/directory.ts';
import { homeTenant } from '../../../src/local/identity-state.ts';
import { startTestIdentity } from '../../support/identity.ts';
import { contractSuite } from './suite.ts';
import { openWorld } from './world.ts';

const faults: string[] = [];

// The same over TLS, with tokens that MSAL gets from the local Entra with the application's certificate.
const world = openWorld(async () => {
  const identity = await startTestIdentity();
  const { clientId } = identity.company.application;
  const { certFile, keyFile } = inject('authority');
  const dataverse = await startDataverse({
    tls: { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') },
    auth: {
      kind: 'entra',
      tenantId: identity.tenantId,
      issuers: identity.issuers,
      keys: identity.jwks,
      authorityUrl: identity.url,
    },
    users: [{ clientId, systemUserId: '0b000000-0000-4000-8000-000000000001', roles: ['System Administrator'] }],
    keyStepMs: 1,
    log: (line) => faults.push(line),
  });
  addResource(homeTenant(identity.company.state), { uri: dataverse.url, name: 'Dataverse' });
  const { certificate } = identity.company;
  const application = new ConfidentialClientApplication({
    auth: {
      clientId,
      authority: identity.authority,
      knownAuthorities: [new URL(identity.url).host],
      clientCertificate: { thumbprintSha256: certificate.thumbprintSha256, privateKey: certificate.keyPem },
    },
  });
  return {
    url: dataverse.url,
    token: async () => {
      const result = await application.acquireTokenByClientCredential({ scopes: [`${dataverse.url}/.default`] });
      return result?.accessToken ?? '';
    },
    async close() {
      await dataverse.close();
      await identity.close();
    },
  };
});

afterAll(() => expect(faults).toEqual([]));

contractSuite(world);
