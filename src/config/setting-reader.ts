/** One thing that is wrong with the settings. */
export interface SettingFault {
  /** The setting's full name. */
  readonly setting: string;
  readonly message: string;
}

export const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const VAULT_OBJECT = /^[0-9A-Za-z-]{1,127}$/;

/** What a parse function returns for text that is wrong. */
export interface Wrong {
  readonly wrong: string;
}

export const fault = (wrong: string): Wrong => ({ wrong });
export const isWrong = (value: unknown): value is Wrong =>
  typeof value === 'object' && value !== null && 'wrong' in value;

export const parseVaultName = (text: string): string | Wrong =>
  VAULT_OBJECT.test(text) ? text : fault('must be a name in Key Vault: letters, digits and hyphens');

/** Reads one group of settings, property by property, and gathers what is wrong with it. */
export class GroupReader {
  readonly faults: SettingFault[] = [];
  readonly #prefix: string;
  readonly #group: ReadonlyMap<string, string>;

  constructor(prefix: string, group: ReadonlyMap<string, string>, known: readonly string[]) {
    this.#prefix = prefix;
    this.#group = group;
    for (const property of group.keys()) {
      if (!known.includes(property)) this.add(property, `is unknown; known are ${known.join(', ')}`);
    }
  }

  add(property: string, message: string): void {
    this.faults.push({ setting: this.#prefix + property, message });
  }

  has(property: string): boolean {
    return this.#group.has(property);
  }

  /** A property that contradicts the kind of credential. */
  refuse(property: string, kind: string): void {
    if (this.has(property)) this.add(property, `has no meaning for the credential ‘${kind}’`);
  }

  required<T>(property: string, parse: (text: string) => T | Wrong): T | undefined {
    if (!this.#group.has(property)) this.add(property, 'is missing');
    return this.optional<T | undefined>(property, undefined, parse);
  }

  optional<T>(property: string, fallback: T, parse: (text: string) => T | Wrong): T {
    const text = this.#group.get(property);
    if (text === undefined) return fallback;
    const parsed = parse(text);
    if (!isWrong(parsed)) return parsed;
    this.add(property, parsed.wrong);
    return fallback;
  }
}

/** An https URL without user, query and fragment. */
export function httpsUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain =
    url?.protocol === 'https:' && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  return plain ? url : undefined;
}
