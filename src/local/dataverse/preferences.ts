/** What the headers `Prefer` ask for. */
export interface Preferences {
  readonly representation: boolean;
  /** Whether an annotation with this name (without the `@`) is wanted. */
  wantsAnnotation(name: string): boolean;
  /** As it was asked for; undefined when it was not. */
  readonly maxPageSize: number | undefined;
  readonly continueOnError: boolean;
  readonly trackChanges: boolean;
  /** The annotation list as it was written, for `Preference-Applied`. */
  readonly annotations: string | undefined;
}

/** Preferences without a value. */
const SWITCHES: ReadonlySet<string> = new Set(['odata.track-changes', 'odata.continue-on-error']);

/** Parses `Prefer`: parts separated by `,` or `;`, several headers joined by `,`; the annotation list may be unquoted. */
export function parsePreferences(header: string | undefined): Preferences {
  const parts = new Map<string, string>();
  let last = '';
  for (const part of header?.match(/(?:"[^"]*"|[^,;"])+/g) ?? []) {
    const equals = part.indexOf('=');
    const name = (equals < 0 ? part : part.slice(0, equals)).trim().toLowerCase();
    const value =
      equals < 0
        ? ''
        : part
            .slice(equals + 1)
            .trim()
            .replace(/^"(.*)"$/s, '$1');
    // The rest of an unquoted annotation list.
    if (last === 'odata.include-annotations' && equals < 0 && name.includes('.') && !SWITCHES.has(name)) {
      parts.set(last, `${parts.get(last)},${part.trim()}`);
      continue;
    }
    last = name;
    if (!parts.has(name)) parts.set(name, value);
  }
  const annotations = parts.get('odata.include-annotations');
  const patterns = annotations?.split(',').map((one) => one.trim().replace(/^@/, '')) ?? [];
  const size = Number(parts.get('odata.maxpagesize'));
  return {
    representation: parts.get('return') === 'representation',
    wantsAnnotation: (name) => patterns.some((pattern) => fits(pattern, name)),
    maxPageSize: Number.isInteger(size) && size > 0 ? size : undefined,
    continueOnError: parts.has('odata.continue-on-error') && parts.get('odata.continue-on-error') !== 'false',
    trackChanges: parts.has('odata.track-changes'),
    annotations,
  };
}

const fits = (pattern: string, name: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
