import { BridgeError } from '../../../shared/errors.ts';
import type { WebhookAuth } from './row-event.ts';

/** An `authvalue` that does not fit its `authtype`. The message never holds the value, which is a secret. */
export class AuthValueError extends BridgeError<'authValue'> {
  constructor(message: string) {
    super('authValue', message);
  }
}

/** `serviceendpoint.authtype` of webhooks. */
const WEBHOOK_AUTH_TYPES = { key: 4, header: 5, query: 6 } as const;

const DOCUMENT = /^\s*(?:<\?xml[^<>]*\?>\s*)?<settings\s*(?:\/>|>(.*)<\/settings\s*>)\s*$/s;
const SETTING = /\s*<setting((?:\s+[\w:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(?:\/>|>\s*<\/setting\s*>)\s*/y;
const ATTRIBUTE = /([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const ENTITY = /&(?:#(\d+)|#x([0-9a-f]+)|(\w+));|&/gi;
const NAMED_ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * Reads `serviceendpoint.authvalue`: a bare key for `authtype` 4, else
 * `<settings><setting name="x-key" value="secret" /></settings>`. Nothing else of XML is taken: no document type, no
 * entities of its own, no further elements. Throws AuthValueError.
 */
export function parseAuthValue(authType: number, authValue: string): WebhookAuth {
  switch (authType) {
    case WEBHOOK_AUTH_TYPES.key:
      return { kind: 'key', value: authValue };
    case WEBHOOK_AUTH_TYPES.header:
      return { kind: 'header', pairs: parseSettings(authValue).map(checkHeader) };
    case WEBHOOK_AUTH_TYPES.query:
      return { kind: 'query', pairs: parseSettings(authValue) };
    default:
      throw new AuthValueError(`authtype ${authType} is not one of a webhook (4, 5 or 6)`);
  }
}

type Pair = readonly [name: string, value: string];

function parseSettings(xml: string): Pair[] {
  const document = DOCUMENT.exec(xml);
  if (!document) throw new AuthValueError('authvalue must be <settings> with <setting name="…" value="…" /> in it');
  const inner = document[1]?.trim() ?? '';
  const pairs: Pair[] = [];
  for (let position = 0; position < inner.length; ) {
    SETTING.lastIndex = position;
    const setting = SETTING.exec(inner);
    if (!setting) throw new AuthValueError('authvalue holds something other than <setting name="…" value="…" />');
    pairs.push(parseSetting(setting[1] ?? ''));
    position += setting[0].length;
  }
  return pairs;
}

function parseSetting(text: string): Pair {
  const attributes = new Map<string, string>();
  for (const [, name = '', quoted, apostrophed] of text.matchAll(ATTRIBUTE)) {
    attributes.set(name, unescapeXml(quoted ?? apostrophed ?? ''));
  }
  const name = attributes.get('name');
  const value = attributes.get('value');
  if (!name || value === undefined) throw new AuthValueError('a setting of authvalue lacks its name or value');
  return [name, value];
}

function unescapeXml(text: string): string {
  return text.replace(ENTITY, (_, decimal?: string, hexadecimal?: string, name?: string) => {
    const code = decimal ? Number(decimal) : hexadecimal ? Number.parseInt(hexadecimal, 16) : undefined;
    if (code !== undefined && code > 0 && code <= 0x10ffff) return String.fromCodePoint(code);
    const character = name === undefined ? undefined : NAMED_ENTITIES[name];
    if (character === undefined) throw new AuthValueError('authvalue holds an unknown XML entity');
    return character;
  });
}

function checkHeader(pair: Pair): Pair {
  if (HEADER_NAME.test(pair[0]) && HEADER_VALUE.test(pair[1])) return pair;
  throw new AuthValueError('a setting of authvalue is no valid HTTP header');
}
