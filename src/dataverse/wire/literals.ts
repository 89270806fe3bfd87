/** A text as an OData literal: quoted, quotes doubled. Not yet percent-encoded. */
export const stringLiteral = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** A key value as an OData literal: GUIDs and numbers bare, texts quoted. Not yet percent-encoded. */
export const literal = (value: string | number | boolean | null, quoted: boolean): string =>
  typeof value === 'string' && quoted ? stringLiteral(value) : String(value);

/** The text of a query value: percent-encoded, a blank as %20. */
export const encode = (text: string): string => encodeURIComponent(text).replaceAll("'", '%27');
