import * as z from 'zod';

/**
 * Values of a URL's query, which all arrive as text. Each carries the JSON Schema of what it stands for as metadata
 * `parameter`, which the API's description shows in place of the text's own.
 */

/** true or false, false when left out. */
export const flag = (fallback = false) =>
  z
    .enum(['true', 'false'], { error: 'It must be true or false.' })
    .transform((text) => text === 'true')
    .default(fallback)
    .meta({ parameter: { type: 'boolean', default: fallback } });

/** A whole number from `smallest` to `largest`. */
export const wholeNumber = ({ smallest = 1, largest }: { smallest?: number; largest: number }) =>
  z
    .string()
    .regex(/^\d{1,15}$/, `It must be a whole number from ${smallest} to ${largest}.`)
    .transform(Number)
    .refine((number) => number >= smallest && number <= largest, `It must be from ${smallest} to ${largest}.`)
    .meta({ parameter: { type: 'integer', minimum: smallest, maximum: largest } });

/** How many entries a page has at most. */
export const pageSize = ({ fallback, largest }: { fallback: number; largest: number }) =>
  wholeNumber({ largest })
    .default(fallback)
    .meta({
      description: 'Most entries of one page.',
      parameter: { type: 'integer', minimum: 1, maximum: largest, default: fallback },
    });

/** Names with commas between them. */
export const nameList = () =>
  z
    .string()
    .max(30_000)
    .transform((text) =>
      text
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    )
    .meta({ parameter: { type: 'string' } });

/** A time in ISO 8601, as milliseconds since 1970. */
export const time = () =>
  z
    .string()
    .regex(/^\d{4}-\d{2}-\d{2}(T|$)/, 'It must be a time such as 2026-05-31T10:00:00Z.')
    .transform((text) => Date.parse(text))
    .refine((value) => !Number.isNaN(value), 'It must be a time such as 2026-05-31T10:00:00Z.')
    .meta({ parameter: { type: 'string', format: 'date-time' } });

/** Where a listing goes on: what an earlier page gave as `nextPage`. */
export const pageToken = () => z.string().min(1).max(512).describe('`nextPage` of the page before.');

/** Which of the app's connections is meant. */
export const connectionName = () =>
  z
    .string()
    .max(200)
    .default('default')
    .meta({ description: 'Name of the connection to use.', parameter: { type: 'string', default: 'default' } });
