import { SaxesParser } from 'saxes';
import { messageOf } from '../../../shared/errors.ts';
import { WireError } from '../errors.ts';
import { malformedFetchXml } from './errors.ts';

export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** The text directly inside, without that of its children. */
  readonly text: string;
}

interface OpenElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: OpenElement[];
  text: string;
}

/** Far more than a `$batch` part can carry. */
const LENGTH_MAX = 262_144;
const DEPTH_MAX = 64;

/**
 * Reads well-formed XML that declares nothing of its own: a DOCTYPE is refused, and with it every entity besides the five
 * of XML, so that nothing expands. Throws WireError 400.
 */
export function parseXml(text: string): XmlElement {
  if (text.length > LENGTH_MAX) throw malformedFetchXml('the text is too long.');
  const open: OpenElement[] = [];
  let root: OpenElement | undefined;

  const parser = new SaxesParser<{ xmlns: false }>({ xmlns: false });
  parser.on('error', (error) => {
    throw malformedFetchXml(error.message);
  });
  parser.on('doctype', () => {
    throw malformedFetchXml('a DOCTYPE is not allowed.');
  });
  parser.on('opentag', ({ name, attributes }) => {
    if (open.length === DEPTH_MAX) throw malformedFetchXml(`elements are nested deeper than ${DEPTH_MAX}.`);
    const element: OpenElement = { name, attributes: new Map(Object.entries(attributes)), children: [], text: '' };
    open.at(-1)?.children.push(element);
    root ??= element;
    open.push(element);
  });
  parser.on('closetag', () => {
    open.pop();
  });
  const addText = (part: string) => {
    const element = open.at(-1);
    if (element) element.text += part;
  };
  parser.on('text', addText);
  parser.on('cdata', addText);
  try {
    parser.write(text).close();
  } catch (error) {
    throw error instanceof WireError ? error : malformedFetchXml(messageOf(error));
  }
  if (!root) throw malformedFetchXml('there is no element.');
  return root;
}

/** An element without what is in it, for messages. */
export function tagOf({ name, attributes }: XmlElement): string {
  const written = [...attributes].map(([key, value]) => ` ${key}="${escapeXml(value)}"`).join('');
  return `<${name}${written} />`;
}

const ESCAPED: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
]);

/** Text as it stands in an attribute, where readers take a bare line end for a blank. */
export const escapeXml = (text: string): string =>
  text.replace(/[&<>"\t\n\r]/g, (character) => ESCAPED.get(character) ?? `&#${character.charCodeAt(0)};`);
