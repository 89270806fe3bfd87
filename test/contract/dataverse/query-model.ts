import fc from 'fast-check';

// A naive reading of the documentation ("Filter rows using OData", "Order rows using OData") over rows in memory, to
// hold the emulator's SQL against. It shares no code with it.

export interface Task {
  subject: string | null;
}

export interface Contact {
  lastname: string;
  jobtitle: string | null;
  numberofchildren: number | null;
  tasks: Task[];
}

export interface Account {
  name: string | null;
  description: string | null;
  revenue: number | null;
  numberofemployees: number | null;
  donotemail: boolean;
  industrycode: number | null;
  /** Milliseconds. */
  lastonholdtime: number | null;
  /** Position among all contacts. */
  primary: number | null;
  /** Those whose company it is. */
  contacts: Contact[];
}

/** A row with the one that its lookup points to. */
export interface Row extends Account {
  primarycontact: Contact | undefined;
}

export const NOW = Date.parse('2026-11-21T10:00:00Z');
const HOUR = 3_600_000;

const text = fc.constantFrom('a', 'B', 'b ', 'ab', 'AB', 'a_b', '50%', "O'B", '[x]', 'x y', 'aé');
const maybe = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { freq: 3 });
const whole = fc.integer({ min: 0, max: 4 });
const amount = fc.constantFrom(0, 0.5, 1, 2.25, 1000);
const time = fc.integer({ min: -72, max: 48 }).map((hours) => NOW + hours * HOUR);

const contact: fc.Arbitrary<Contact> = fc.record({
  lastname: text,
  jobtitle: maybe(text),
  numberofchildren: maybe(whole),
  tasks: fc.array(fc.record({ subject: maybe(text) }), { maxLength: 2 }),
});

/** Up to twelve accounts with up to two contacts each. */
export const accounts: fc.Arbitrary<Account[]> = fc.array(
  fc.record({
    name: maybe(text),
    description: maybe(text),
    revenue: maybe(amount),
    numberofemployees: maybe(whole),
    donotemail: fc.boolean(),
    industrycode: maybe(fc.integer({ min: 1, max: 3 })),
    lastonholdtime: maybe(time),
    primary: maybe(fc.nat(5)),
    contacts: fc.array(contact, { maxLength: 2 }),
  }),
  { minLength: 4, maxLength: 12 },
);

/** A condition as it is written, and what it means for a row. */
export interface Condition<Of> {
  readonly text: string;
  readonly holds: (row: Of) => boolean;
  /** A Dataverse function, which no `not` may stand before. */
  readonly isFunction?: boolean;
}

type Value = string | number | boolean | null;

/** Texts compare without regard to case and to blanks at the end. */
const comparable = (value: Value): Value =>
  typeof value === 'string' ? value.replace(/ +$/, '').toLowerCase() : value;

function compare(operator: string, left: Value, right: Value): boolean {
  const [a, b] = [comparable(left), comparable(right)];
  if (operator === 'ne') return a !== b;
  if (a === null || b === null) return a === b && ['eq', 'ge', 'le'].includes(operator);
  switch (operator) {
    case 'eq':
      return a === b;
    case 'gt':
      return a > b;
    case 'ge':
      return a >= b;
    case 'lt':
      return a < b;
    default:
      return a <= b;
  }
}

/** `%`, `_` and sets are wildcards. */
function matches(value: string | null, pattern: string): boolean {
  const parts = pattern.match(/\[\^?.[^\]]*\]|[\s\S]/g) ?? [];
  const expression = parts.map((part) => {
    if (part === '%') return '[\\s\\S]*';
    if (part === '_') return '[\\s\\S]';
    return part.length > 1 ? part : part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  });
  return value !== null && new RegExp(`^${expression.join('')}$`, 'i').test(value);
}

const quoted = (value: string) => `'${value.replaceAll("'", "''")}'`;
const operator = fc.constantFrom('eq', 'ne', 'gt', 'ge', 'lt', 'le');
const iso = (ms: number) => new Date(ms).toISOString().replace('.000Z', 'Z');

interface Field<Of> {
  readonly name: string;
  readonly read: (row: Of) => Value;
}

interface Fields<Of> {
  readonly texts: readonly Field<Of>[];
  readonly numbers: readonly Field<Of>[];
}

const asText = (value: Value): string | null => (typeof value === 'string' ? value : null);

/** Conditions on one column, `prefix` being the lambda variable with its slash. */
function onColumns<Of>({ texts, numbers }: Fields<Of>): fc.Arbitrary<Condition<Of>> {
  const textField = fc.constantFrom(...texts);
  const numberField = fc.constantFrom(...numbers);
  const list = fc.array(text, { minLength: 1, maxLength: 3 });
  return fc.oneof(
    fc.tuple(textField, operator, fc.option(text, { freq: 5 })).map(([field, is, value]) => ({
      text: `${field.name} ${is} ${value === null ? 'null' : quoted(value)}`,
      holds: (row: Of) =>
        value === null && (is === 'gt' || is === 'lt') ? false : compare(is, field.read(row), value),
    })),
    fc.tuple(numberField, operator, fc.option(fc.oneof(whole, amount), { freq: 5 })).map(([field, is, value]) => ({
      text: `${field.name} ${is} ${value === null ? 'null' : String(value)}`,
      holds: (row: Of) =>
        value === null && (is === 'gt' || is === 'lt') ? false : compare(is, field.read(row), value),
    })),
    fc.tuple(numberField, operator, whole).map(([field, is, value]) => ({
      text: `${value} ${is} ${field.name}`,
      holds: (row: Of) => (field.read(row) === null ? is === 'ne' : compare(is, value, field.read(row))),
    })),
    fc
      .tuple(textField, fc.constantFrom('contains', 'startswith', 'endswith'), fc.oneof(text, fc.constant('[ab]')))
      .map(([field, name, value]) => {
        const pattern = `${name === 'startswith' ? '' : '%'}${value}${name === 'endswith' ? '' : '%'}`;
        return {
          text: `${name}(${field.name},${quoted(value)})`,
          holds: (row: Of) => matches(asText(field.read(row)), pattern),
        };
      }),
    fc.tuple(textField, fc.boolean(), list).map(([field, negated, values]) => ({
      text: `Microsoft.Dynamics.CRM.${negated ? 'Not' : ''}In(PropertyName='${field.name}',PropertyValues=${JSON.stringify(values)})`,
      isFunction: true,
      holds: (row: Of) => {
        const value = comparable(field.read(row));
        return value !== null && values.map(comparable).includes(value) !== negated;
      },
    })),
    fc.tuple(numberField, fc.boolean(), whole, whole).map(([field, negated, from, to]) => ({
      text: `Microsoft.Dynamics.CRM.${negated ? 'Not' : ''}Between(PropertyName='${field.name}',PropertyValues=["${from}","${to}"])`,
      isFunction: true,
      holds: (row: Of) => {
        const value = field.read(row);
        return typeof value === 'number' && (value >= from && value <= to) !== negated;
      },
    })),
  );
}

const field = <Of>(name: string, read: (row: Of) => Value): Field<Of> => ({ name, read });

function combined<Of>(leaf: fc.Arbitrary<Condition<Of>>, depth: number): fc.Arbitrary<Condition<Of>> {
  if (depth === 0) return leaf;
  const inner = combined(leaf, depth - 1);
  const several = fc.array(inner, { minLength: 2, maxLength: 3 });
  return fc.oneof(
    { arbitrary: leaf, weight: 2 },
    several.map((all) => ({
      text: all.map((one) => `(${one.text})`).join(' and '),
      holds: (row: Of) => all.every((one) => one.holds(row)),
    })),
    several.map((all) => ({
      text: all.map((one) => `(${one.text})`).join(' or '),
      holds: (row: Of) => all.some((one) => one.holds(row)),
    })),
    inner
      .filter((one) => !one.isFunction)
      .map((one) => ({ text: `not (${one.text})`, holds: (row: Of) => !one.holds(row) })),
  );
}

function overCollection<Of, Member>(
  collection: string,
  members: (row: Of) => readonly Member[],
  variable: string,
  inner: fc.Arbitrary<Condition<Member>>,
): fc.Arbitrary<Condition<Of>> {
  return fc.oneof(
    fc.constant({ text: `${collection}/any()`, holds: (row: Of) => members(row).length > 0 }),
    inner.map((one) => ({
      text: `${collection}/any(${variable}:${one.text})`,
      holds: (row: Of) => members(row).some((member) => one.holds(member)),
    })),
    inner.map((one) => ({
      text: `${collection}/all(${variable}:${one.text})`,
      holds: (row: Of) => members(row).every((member) => one.holds(member)),
    })),
  );
}

const onTasks = onColumns<Task>({
  texts: [field('t/subject', (task) => task.subject)],
  numbers: [field('t/prioritycode', () => 1)],
});

const onContacts = combined<Contact>(
  fc.oneof(
    onColumns<Contact>({
      texts: [field('c/lastname', (one) => one.lastname), field('c/jobtitle', (one) => one.jobtitle)],
      numbers: [field('c/numberofchildren', (one) => one.numberofchildren)],
    }),
    overCollection<Contact, Task>('c/Contact_Tasks', (one) => one.tasks, 't', onTasks),
  ),
  1,
);

const inDays = (row: Row, from: number, to: number): boolean =>
  row.lastonholdtime !== null && row.lastonholdtime >= from && row.lastonholdtime < to;
const startOfDay = (ms: number) =>
  Date.UTC(new Date(ms).getUTCFullYear(), new Date(ms).getUTCMonth(), new Date(ms).getUTCDate());
const DAY = 24 * HOUR;

const onDates: fc.Arbitrary<Condition<Row>> = fc.oneof(
  fc.tuple(operator, time).map(([is, value]) => ({
    text: `lastonholdtime ${is} ${iso(value)}`,
    holds: (row: Row) => compare(is, row.lastonholdtime, value),
  })),
  fc.tuple(fc.constantFrom('On', 'OnOrAfter', 'OnOrBefore'), time).map(([name, value]) => ({
    text: `Microsoft.Dynamics.CRM.${name}(PropertyName='lastonholdtime',PropertyValue='${iso(value).slice(0, 10)}')`,
    isFunction: true,
    holds: (row: Row) => {
      const day = startOfDay(value);
      return inDays(row, name === 'OnOrBefore' ? 0 : day, name === 'OnOrAfter' ? Number.POSITIVE_INFINITY : day + DAY);
    },
  })),
  fc.constantFrom('Today', 'Yesterday', 'Tomorrow').map((name) => ({
    text: `Microsoft.Dynamics.CRM.${name}(PropertyName='lastonholdtime')`,
    isFunction: true,
    holds: (row: Row) => {
      const day = startOfDay(NOW) + { Today: 0, Yesterday: -1, Tomorrow: 1 }[name] * DAY;
      return inDays(row, day, day + DAY);
    },
  })),
  fc.integer({ min: 1, max: 60 }).map((hours) => ({
    text: `Microsoft.Dynamics.CRM.LastXHours(PropertyName='lastonholdtime',PropertyValue=${hours})`,
    isFunction: true,
    holds: (row: Row) => inDays(row, NOW - hours * HOUR, NOW),
  })),
);

/** Any condition on accounts. */
export const filters: fc.Arbitrary<Condition<Row>> = combined<Row>(
  fc.oneof(
    {
      arbitrary: onColumns<Row>({
        texts: [
          field('name', (row) => row.name),
          field('description', (row) => row.description),
          field('primarycontactid/lastname', (row) => row.primarycontact?.lastname ?? null),
          field('primarycontactid/jobtitle', (row) => row.primarycontact?.jobtitle ?? null),
        ],
        numbers: [
          field('revenue', (row) => row.revenue),
          field('numberofemployees', (row) => row.numberofemployees),
          field('industrycode', (row) => row.industrycode),
          field('primarycontactid/numberofchildren', (row) => row.primarycontact?.numberofchildren ?? null),
        ],
      }),
      weight: 4,
    },
    overCollection<Row, Contact>('contact_customer_accounts', (row) => row.contacts, 'c', onContacts),
    onDates,
    fc.constant({ text: 'donotemail', holds: (row: Row) => row.donotemail }),
    fc.boolean().map((value) => ({
      text: `donotemail ne ${value}`,
      holds: (row: Row) => row.donotemail !== value,
    })),
    fc.constantFrom('gt', 'le').map((is) => ({
      text: `name ${is} description`,
      holds: (row: Row) => row.name !== null && row.description !== null && compare(is, row.name, row.description),
    })),
    fc.boolean().map((empty) => ({
      text: `_primarycontactid_value ${empty ? 'eq' : 'ne'} null`,
      holds: (row: Row) => (row.primarycontact === undefined) === empty,
    })),
  ),
  2,
);

export interface Sorting {
  readonly text: string;
  readonly compare: (a: Row, b: Row) => number;
}

/** Any `$orderby` of up to three different columns. */
export const sortings: fc.Arbitrary<Sorting> = fc
  .uniqueArray(
    fc.tuple(
      fc.constantFrom<Field<Row>>(
        field('name', (row) => row.name),
        field('revenue', (row) => row.revenue),
        field('numberofemployees', (row) => row.numberofemployees),
        field('donotemail', (row) => Number(row.donotemail)),
        field('lastonholdtime', (row) => row.lastonholdtime),
        field('primarycontactid/jobtitle', (row) => row.primarycontact?.jobtitle ?? null),
        // Lookups sort by the name behind them.
        field('_primarycontactid_value', (row) => row.primarycontact?.lastname ?? null),
      ),
      fc.boolean(),
    ),
    { selector: ([{ name }]) => name, minLength: 1, maxLength: 3 },
  )
  .map((terms) => ({
    text: terms.map(([{ name }, descending]) => `${name}${descending ? ' desc' : ''}`).join(),
    compare: (a, b) => {
      for (const [{ read }, descending] of terms) {
        const order = sortValues(comparable(read(a)), comparable(read(b)));
        if (order !== 0) return descending ? -order : order;
      }
      return 0;
    },
  }));

/** Rows without a value come first. */
function sortValues(a: Value, b: Value): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  return a < b ? -1 : 1;
}
