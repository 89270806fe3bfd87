import { type Condition, type Path, readCondition, readPath } from './filter.ts';
import type { Tokens } from './tokens.ts';

/** One navigation property to expand, and what of its rows. */
export interface ExpandItem {
  readonly navigation: string;
  readonly position: number;
  readonly select?: readonly string[];
  readonly filter?: Condition;
  readonly orderBy?: readonly OrderItem[];
  readonly top?: number;
  readonly expand?: readonly ExpandItem[];
}

export interface OrderItem {
  readonly path: Path;
  readonly descending: boolean;
}

/** The service takes 15 in all. */
const MOST_ITEMS = 15;
const DEEPEST = 10;
const LARGEST_TOP = 5_000;

/** Reads `a,b($select=x;$expand=c)`, option names with their `$` or without it. Throws InputError. */
export function readExpand(tokens: Tokens): ExpandItem[] {
  let left = MOST_ITEMS;
  const readItems = (depth: number): ExpandItem[] => {
    if (depth > DEEPEST) throw tokens.fault(`It is nested more than ${DEEPEST} levels deep.`);
    const items: ExpandItem[] = [];
    do {
      left -= 1;
      if (left < 0) throw tokens.fault(`More than ${MOST_ITEMS} navigation properties are expanded.`);
      const { text: navigation, position } = tokens.name('a navigation property');
      if (items.some((each) => each.navigation === navigation))
        throw tokens.fault(`'${navigation}' is expanded twice.`);
      const options = tokens.takeIf('(') ? readOptions(tokens, () => readItems(depth + 1)) : {};
      items.push({ navigation, position, ...options });
    } while (tokens.takeIf(','));
    return items;
  };
  return readItems(1);
}

/** Reads `name asc,revenue desc`. */
export function readOrder(tokens: Tokens): OrderItem[] {
  const items: OrderItem[] = [];
  do {
    const path = readPath(tokens);
    const descending = tokens.takeIf('desc');
    if (!descending) tokens.takeIf('asc');
    items.push({ path, descending });
  } while (tokens.takeIf(','));
  return items;
}

export function readSelect(tokens: Tokens): string[] {
  const names: string[] = [];
  do names.push(tokens.name('a column').text);
  while (tokens.takeIf(','));
  return names;
}

type Options = Omit<ExpandItem, 'navigation' | 'position'>;

/** Reads what stands in brackets behind a navigation property; the opening one has been taken. */
function readOptions(tokens: Tokens, readItems: () => ExpandItem[]): Options {
  let options: Options = {};
  do {
    const { text } = tokens.name('an option such as $select');
    const name = text.replace(/^\$/, '').toLowerCase();
    tokens.expect('=');
    const option = readOption(tokens, name, readItems);
    if (Object.keys(option).some((each) => each in options)) throw tokens.fault(`'${text}' is given twice.`);
    options = { ...options, ...option };
  } while (tokens.takeIf(';'));
  tokens.expect(')');
  return options;
}

function readOption(tokens: Tokens, name: string, readItems: () => ExpandItem[]): Options {
  switch (name) {
    case 'select':
      return { select: readSelect(tokens) };
    case 'filter':
      return { filter: readCondition(tokens) };
    case 'orderby':
      return { orderBy: readOrder(tokens) };
    case 'top':
      return { top: readTop(tokens) };
    case 'expand':
      return { expand: readItems() };
    default:
      throw tokens.fault(
        `There is no option '${name.slice(0, 40)}' of an expanded navigation property.`,
        'Options are $select, $filter, $orderby, $top and $expand, separated by semicolons.',
      );
  }
}

function readTop(tokens: Tokens): number {
  const { text } = tokens.take();
  const top = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (top < 1 || top > LARGEST_TOP) throw tokens.fault(`$top must be from 1 to ${LARGEST_TOP}.`);
  return top;
}
