import { lookupColumn } from './annotations.ts';
import { encode } from './literals.ts';

/** Requests with FetchXML and what their answers tell (Web API documentation, "Use FetchXML to query data"). */

/** The longest query, in characters: it has to fit a URL in a batch, which takes 65,536. */
export const LONGEST_FETCH = 60_000;

type WireObject = Readonly<Record<string, unknown>>;

const CRM = 'Microsoft.Dynamics.CRM.';
const FORMATTED = 'OData.Community.Display.V1.FormattedValue';
const COOKIE = `${CRM}fetchxmlpagingcookie`;
const MORE = `${CRM}morerecords`;
const TOTAL = `${CRM}totalrecordcount`;
/** What reading rows and going on to the next page takes. */
const NEEDED = [`${CRM}lookuplogicalname`, `${CRM}globalmetadataversion`, COOKIE, MORE, TOTAL];

/** The rows of a query; its entity has to be that of the set. */
export const fetchPath = (entitySetName: string, xml: string): string => `${entitySetName}?fetchXml=${encode(xml)}`;

/** Asks for annotations besides those that are needed anyway; `*` stands for all. */
export const fetchAnnotations = (wanted: readonly string[]): Record<string, string> => ({
  prefer: `odata.include-annotations="${wanted.includes('*') ? '*' : [...new Set([...NEEDED, ...wanted])].join(',')}"`,
});

/** Whether people's forms of values are among these annotations. */
export const wantsFormatted = (annotations: readonly string[]): boolean =>
  annotations.some((name) => covers(name, FORMATTED));

/** An annotation may be asked for by its beginning: `OData.*`. */
const covers = (wanted: string, annotation: string): boolean =>
  wanted.endsWith('*') ? annotation.startsWith(wanted.slice(0, -1)) : wanted === annotation;

/** A user to act as: by the id of the row in `systemuser`, or by the object id in Entra. */
export type Impersonated = { readonly systemUserId: string } | { readonly entraObjectId: string };

export const actingAs = (user: Impersonated | undefined): Record<string, string> => {
  if (!user) return {};
  return 'systemUserId' in user ? { mscrmcallerid: user.systemUserId } : { callerobjectid: user.entraObjectId };
};

/** What an answer says about its page. */
export interface PageFacts {
  /** The annotation as it is: the next page's cookie, percent-encoded twice. */
  readonly cookie: string | undefined;
  readonly moreRecords: boolean;
  /** How many rows there are in all, where the query asked for it. */
  readonly total: number | undefined;
}

export function pageFacts(answer: WireObject): PageFacts {
  const { [`@${COOKIE}`]: cookie, [`@${MORE}`]: more, [`@${TOTAL}`]: total } = answer;
  return {
    cookie: typeof cookie === 'string' ? cookie : undefined,
    moreRecords: more === true,
    total: typeof total === 'number' && total >= 0 ? total : undefined,
  };
}

/** Annotations of a row's values that were asked for, by column and annotation, without people's forms of values. */
export function annotationsIn(row: WireObject, wanted: readonly string[]): Record<string, Record<string, unknown>> {
  const found = new Map<string, Record<string, unknown>>();
  for (const [name, value] of Object.entries(row)) {
    const [property = '', annotation] = name.split('@');
    if (property === '' || annotation === undefined || annotation === FORMATTED) continue;
    if (!wanted.some((each) => covers(each, annotation))) continue;
    const column = lookupColumn(property) ?? property;
    found.set(column, { ...found.get(column), [annotation]: value });
  }
  return Object.fromEntries(found);
}
