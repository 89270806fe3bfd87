import * as z from 'zod';
import type { Clock } from '../../shared/clock.ts';
import type { SigningKey } from '../entra/signing-key.ts';
import type { Handler } from '../listener.ts';
import {
  certificateBundle,
  certificateKeyBundle,
  certificatePolicy,
  certificateSecretBundle,
  objectId,
  secretBundle,
  thumbprint,
  wireAttributes,
} from './bundles.ts';
import { type Caller, verifyCaller } from './caller.ts';
import {
  badParameter,
  disabled,
  forbiddenByRbac,
  KeyVaultRefusal,
  keyExpired,
  keyNotYetValid,
  nameTaken,
  notEmulated,
  notFound,
  type ObjectType,
} from './errors.ts';
import { isAllowed } from './roles.ts';
import { signDigest } from './sign.ts';
import { type Attributes, type Certificate, findNamed, findVersion, setSecret, type Vault } from './vault.ts';

export interface KeyVaultContext {
  vault: Vault;
  /** Called after each change of the vault. */
  save: () => void;
  /** The key that the local Entra signs tokens with. */
  key: SigningKey;
  /** Where the vault listens; object ids begin with it. */
  origin: string;
  clock: Clock;
}

const FIRST_SEGMENTS = ['secrets', 'keys', 'certificates', 'deletedsecrets', 'deletedkeys', 'deletedcertificates'];

/** Whether a path is Key Vault's; the rest of the origin is Entra's. */
export function isKeyVaultPath(pathname: string): boolean {
  return FIRST_SEGMENTS.includes(segmentsOf(pathname)[0]?.toLowerCase() ?? '');
}

/** The local Key Vault, by https://learn.microsoft.com/rest/api/keyvault/. */
export function createKeyVault(context: KeyVaultContext): Handler {
  return async (request) => {
    try {
      const caller = await verifyCaller(request.headers.get('authorization'), {
        tenantId: context.vault.tenantId,
        authority: `${context.origin}/${context.vault.tenantId}`,
        key: context.key,
        now: context.clock.now(),
      });
      const body = await new Exchange(context, request, caller).answer();
      return Response.json(body, { headers: { 'cache-control': 'no-cache' } });
    } catch (error) {
      if (error instanceof KeyVaultRefusal) return error.toResponse();
      throw error;
    }
  };
}

const NAME = /^[0-9a-z-]{1,127}$/i;
const settableSchema = z.object({
  enabled: z.boolean().optional(),
  nbf: z.number().int().optional(),
  exp: z.number().int().optional(),
});
const tagsSchema = z.record(z.string(), z.string()).optional();
const setSecretSchema = z.object({
  value: z.string(),
  contentType: z.string().optional(),
  attributes: settableSchema.optional(),
  tags: tagsSchema,
});
const updateSecretSchema = setSecretSchema.omit({ value: true });
const signSchema = z.object({ alg: z.string(), value: z.string() });

const LIST_ACTION = {
  secrets: 'secrets/readMetadata/action',
  keys: 'keys/read',
  certificates: 'certificates/read',
} as const;
const GET_ACTION = { ...LIST_ACTION, secrets: 'secrets/getSecret/action' } as const;

/** One authenticated request. */
class Exchange {
  readonly #context: KeyVaultContext;
  readonly #request: Request;
  readonly #url: URL;
  readonly #caller: Caller;

  constructor(context: KeyVaultContext, request: Request, caller: Caller) {
    this.#context = context;
    this.#request = request;
    this.#url = new URL(request.url);
    this.#caller = caller;
  }

  async answer(): Promise<object> {
    if (!this.#url.searchParams.get('api-version')) throw badParameter('The api-version query parameter is missing.');
    const [first = '', name, ...rest] = segmentsOf(this.#url.pathname);
    const type = objectType(first);
    const { method } = this.#request;
    if (name === undefined) {
      if (method === 'GET') return this.#list(type);
    } else if (!NAME.test(name)) {
      throw badParameter(`The request URI contains an invalid name: ${name}`);
    } else if (method === 'GET' && rest.length <= 1) {
      if (rest[0] === 'versions') return this.#listVersions(type, name);
      if (type === 'certificates' && rest[0] === 'policy') return this.#policy(name);
      return this.#get(type, name, rest[0]);
    } else if (type === 'secrets' && method === 'PUT' && rest.length === 0) {
      return this.#setSecret(name);
    } else if (type === 'secrets' && method === 'PATCH' && rest.length <= 1) {
      return this.#updateSecret(name, rest[0]);
    } else if (type === 'keys' && method === 'POST' && rest.length <= 2 && rest.at(-1) === 'sign') {
      return this.#sign(name, rest.length === 2 ? rest[0] : undefined);
    }
    throw notEmulated(`${method} ${this.#url.pathname}`);
  }

  #authorize(action: string, type: ObjectType, name?: string): void {
    const { vault } = this.#context;
    const object = name === undefined ? '' : `${type}/${name}`;
    if (isAllowed(vault.roleAssignments, { principalId: this.#caller.objectId, action, object })) return;
    throw forbiddenByRbac({ ...this.#caller, action, object, vault });
  }

  #get(type: ObjectType, name: string, version: string | undefined): object {
    this.#authorize(GET_ACTION[type], type, name);
    const { origin, vault } = this.#context;
    const secret = type === 'secrets' ? findNamed(vault.secrets, name) : undefined;
    if (secret) {
      const found = findVersion(secret.versions, version) ?? missing(type, name, version);
      refuseDisabled(found.attributes, type, 'get');
      return secretBundle(origin, secret.name, found);
    }
    const { certificate, found } = this.#certificate(type, name, version);
    if (type === 'certificates') return certificateBundle(origin, certificate, found);
    refuseDisabled(found.attributes, type, 'get');
    const bundle = type === 'keys' ? certificateKeyBundle : certificateSecretBundle;
    return bundle(origin, certificate, found);
  }

  #policy(name: string): object {
    this.#authorize(GET_ACTION.certificates, 'certificates', name);
    const { certificate, found } = this.#certificate('certificates', name);
    return certificatePolicy(this.#context.origin, certificate, found);
  }

  #list(type: ObjectType): object {
    this.#authorize(LIST_ACTION[type], type);
    const { vault } = this.#context;
    const secrets = type === 'secrets' ? vault.secrets.flatMap((each) => this.#secretItem(each)) : [];
    const ofCertificates = vault.certificates.flatMap((each) => {
      const latest = each.versions.at(-1);
      return latest ? [this.#certificateItem(type, each, latest)] : [];
    });
    return this.#page([...secrets, ...ofCertificates]);
  }

  #listVersions(type: ObjectType, name: string): object {
    this.#authorize(LIST_ACTION[type], type, name);
    const { vault } = this.#context;
    const secret = type === 'secrets' ? findNamed(vault.secrets, name) : undefined;
    if (secret) {
      return this.#page(secret.versions.flatMap((each) => this.#secretItem({ name, versions: [each] }, each.version)));
    }
    const certificate = findNamed(vault.certificates, name);
    const versions = certificate?.versions ?? [];
    return this.#page(
      certificate ? versions.map((each) => this.#certificateItem(type, certificate, each, each.version)) : [],
    );
  }

  #secretItem({ name, versions }: Vault['secrets'][number], version?: string): { id: string }[] {
    const latest = versions.at(-1);
    if (!latest) return [];
    const { contentType, tags, attributes } = latest;
    const id = objectId(this.#context.origin, 'secrets', name, version);
    return [{ id, ...{ contentType, attributes: wireAttributes(attributes), tags } }];
  }

  #certificateItem(
    type: ObjectType,
    certificate: Certificate,
    latest: Certificate['versions'][number],
    version?: string,
  ) {
    const id = objectId(this.#context.origin, type, certificate.name, version);
    const attributes = wireAttributes(latest.attributes);
    if (type === 'certificates') return { id, x5t: thumbprint(latest), attributes };
    if (type === 'keys') return { id, kid: id, attributes, managed: true };
    return { id, contentType: certificate.policy.contentType, attributes, managed: true };
  }

  /** Pages of `maxresults`, sorted by id: versions are random, so their order tells nothing of their age. */
  #page(items: { id: string }[]): object {
    const maxResults = Number(this.#url.searchParams.get('maxresults') ?? 25);
    const start = Number(this.#url.searchParams.get('$skiptoken') ?? 0);
    if (
      !(Number.isInteger(maxResults) && maxResults >= 1 && maxResults <= 25 && Number.isInteger(start) && start >= 0)
    ) {
      throw badParameter('The parameter maxresults must be between 1 and 25.');
    }
    const sorted = items.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const end = start + maxResults;
    const next = new URL(this.#url.pathname + this.#url.search, this.#context.origin);
    next.searchParams.set('$skiptoken', String(end));
    return { value: sorted.slice(start, end), nextLink: end < sorted.length ? next.href : null };
  }

  async #setSecret(name: string): Promise<object> {
    this.#authorize('secrets/setSecret/action', 'secrets', name);
    const { vault, origin, clock, save } = this.#context;
    if (findNamed(vault.certificates, name)) throw nameTaken(name);
    const { value, ...options } = await this.#body(setSecretSchema);
    const version = setSecret(vault, name, value, { ...options, now: clock.now() });
    save();
    return secretBundle(origin, name, version);
  }

  async #updateSecret(name: string, version: string | undefined): Promise<object> {
    this.#authorize('secrets/setSecret/action', 'secrets', name);
    const { vault, origin, clock, save } = this.#context;
    const secret = findNamed(vault.secrets, name) ?? missing('secrets', name, version);
    const found = findVersion(secret.versions, version) ?? missing('secrets', name, version);
    const { attributes, contentType, tags } = await this.#body(updateSecretSchema);
    Object.assign(found.attributes, attributes, { updated: Math.floor(clock.now() / 1000) });
    found.contentType = contentType ?? found.contentType;
    found.tags = tags ?? found.tags;
    save();
    const { value: _secret, ...bundle } = secretBundle(origin, secret.name, found);
    return bundle;
  }

  async #sign(name: string, version: string | undefined): Promise<object> {
    this.#authorize('keys/sign/action', 'keys', name);
    const { alg, value } = await this.#body(signSchema);
    const { certificate, found } = this.#certificate('keys', name, version);
    refuseDisabled(found.attributes, 'keys', 'sign');
    const now = this.#context.clock.now() / 1000;
    if (found.attributes.nbf !== undefined && now < found.attributes.nbf) throw keyNotYetValid('sign');
    if (found.attributes.exp !== undefined && now >= found.attributes.exp) throw keyExpired('sign');
    if (alg !== 'PS256' && alg !== 'RS256') throw notEmulated(`Signing with ${alg}`);
    const digest = Buffer.from(value, 'base64url');
    if (digest.length !== 32) throw badParameter(`The digest for ${alg} must have 32 bytes.`);
    return {
      kid: objectId(this.#context.origin, 'keys', certificate.name, found.version),
      value: signDigest(found.keyPem, alg, digest).toString('base64url'),
    };
  }

  #certificate(type: ObjectType, name: string, version?: string) {
    const certificate = findNamed(this.#context.vault.certificates, name) ?? missing(type, name, version);
    const found = findVersion(certificate.versions, version) ?? missing(type, name, version);
    return { certificate, found };
  }

  async #body<T>(schema: z.ZodType<T>): Promise<T> {
    let json: unknown;
    try {
      json = await this.#request.json();
    } catch {
      throw badParameter('The request body is not valid JSON.');
    }
    const parsed = schema.safeParse(json);
    if (parsed.success) return parsed.data;
    throw badParameter(`Property ${parsed.error.issues[0]?.path.join('.') ?? ''} has invalid value\r\n`);
  }
}

const segmentsOf = (pathname: string): string[] => pathname.split('/').filter(Boolean);

function objectType(segment: string): ObjectType {
  const type = segment.toLowerCase();
  if (type === 'secrets' || type === 'keys' || type === 'certificates') return type;
  throw notEmulated(`Soft-delete (${type})`);
}

function missing(type: ObjectType, name: string, version: string | undefined): never {
  throw notFound(type, version ? `${name}/${version}` : name);
}

function refuseDisabled(attributes: Attributes, type: ObjectType, operation: string): void {
  if (!attributes.enabled) throw disabled(type, operation);
}
