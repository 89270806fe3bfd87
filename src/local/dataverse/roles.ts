import type { Clock } from '../../shared/clock.ts';
import type { Catalog } from './metadata.ts';
import { DEPTH_MASKS, type Depth, depthOfMask, type PrivilegeCatalog } from './privileges.ts';
import { derivedGuid, type Store } from './store.ts';

/** `roletemplateid` of the role that may do everything, the same in every organization. */
export const ADMINISTRATOR_TEMPLATE = '627090ff-40a3-4053-8790-584edc5be201';

/** One privilege as one role gives it. */
export interface Grant {
  readonly privilegeId: string;
  readonly name: string;
  readonly depth: Depth;
  readonly businessUnitId: string;
  /** Through a team's role. */
  readonly throughTeam: boolean;
}

/** What a user's own roles and those of its teams allow. */
export interface Permissions {
  readonly roleCount: number;
  /** By name in lower case, at its widest depth; `all` for a System Administrator. */
  readonly privileges: ReadonlyMap<string, Depth> | 'all';
}

/** Security roles as the rows of their tables hold them. */
export interface Roles {
  permissionsOf(userId: string): Permissions;
  /** Every privilege of every role of the user, its teams' roles included. */
  grantsOf(userId: string): Grant[];
  grantsOfRole(roleId: string): Grant[];
  /** Gives a role privileges, replacing depths that it has; its copies in other business units follow. */
  grant(roleId: string, privileges: Iterable<readonly [privilegeId: string, depth: Depth]>): void;
  /** Takes one privilege from a role and its copies, or all. */
  revoke(roleId: string, privilegeId?: string): void;
}

const TABLES = [
  'businessunit',
  'privilege',
  'role',
  'roleprivileges',
  'systemuser',
  'systemuserroles',
  'teammembership',
  'teamroles',
];

const HELD_ROLES = `
  SELECT roleid, 0 AS team FROM systemuserroles WHERE systemuserid = ?
  UNION SELECT teamroles.roleid, 1 FROM teammembership
    JOIN teamroles ON teamroles.teamid = teammembership.teamid WHERE teammembership.systemuserid = ?`;

const GRANTS = `
  SELECT privilege.privilegeid AS id, privilege.name AS name, roleprivileges.privilegedepthmask AS mask,
    role.businessunitid AS unit, held.team AS team
  FROM held JOIN role ON role.roleid = held.roleid
  JOIN roleprivileges ON roleprivileges.roleid = role.roleid
  JOIN privilege ON privilege.privilegeid = roleprivileges.privilegeid
  ORDER BY privilege.name, role.roleid`;

/** Asked at every request, so without what {@link GRANTS} tells besides. */
const WIDEST = `
  WITH held AS (${HELD_ROLES})
  SELECT privilegeid AS id, max(privilegedepthmask) AS mask FROM roleprivileges
  WHERE roleid IN (SELECT roleid FROM held) GROUP BY privilegeid`;

/** The role and its copies in the business units below its own. */
const COPIES = 'SELECT roleid FROM role WHERE roleid = ? OR parentrootroleid = ?';

/** Makes the tables of roles where they are missing. `lagMs`: how long a change of roles goes unseen by requests. */
export function openRoles(options: {
  store: Store;
  catalog: Catalog;
  privileges: PrivilegeCatalog;
  clock: Clock;
  lagMs: number;
}): Roles {
  const { store, catalog, privileges, clock, lagMs } = options;
  for (const name of TABLES) {
    const table = catalog.table(name);
    if (table) store.ensure(table);
  }
  store.run('CREATE INDEX IF NOT EXISTS "_role_of_privilege" ON roleprivileges (roleid)');
  const remembered = new Map<string, { until: number; permissions: Permissions }>();

  const read = (sql: string, parameters: readonly string[]): Grant[] =>
    store.all(sql, parameters).flatMap((row) => {
      const depth = depthOfMask(row['mask']);
      if (!depth) return [];
      return {
        privilegeId: String(row['id']),
        name: String(row['name']),
        depth,
        businessUnitId: String(row['unit']),
        throughTeam: row['team'] === 1,
      };
    });
  const grantsOf = (userId: string) => read(`WITH held AS (${HELD_ROLES}) ${GRANTS}`, [userId, userId]);

  const load = (userId: string): Permissions => {
    const roles = store.all(
      `WITH held AS (${HELD_ROLES}) SELECT DISTINCT role.roleid, role.roletemplateid AS template FROM held ` +
        'JOIN role ON role.roleid = held.roleid',
      [userId, userId],
    );
    if (roles.some((role) => role['template'] === ADMINISTRATOR_TEMPLATE)) {
      return { roleCount: roles.length, privileges: 'all' };
    }
    const held = new Map<string, Depth>();
    for (const { id, mask } of store.all(WIDEST, [userId, userId])) {
      const name = privileges.byId(String(id))?.name.toLowerCase();
      const depth = depthOfMask(mask);
      if (name !== undefined && depth) held.set(name, depth);
    }
    return { roleCount: roles.length, privileges: held };
  };

  return {
    permissionsOf(userId) {
      if (lagMs === 0) return load(userId);
      const known = remembered.get(userId);
      if (known && clock.now() < known.until) return known.permissions;
      const permissions = load(userId);
      remembered.set(userId, { until: clock.now() + lagMs, permissions });
      return permissions;
    },
    grantsOf,
    grantsOfRole: (roleId) => read(`WITH held AS (SELECT ? AS roleid, 0 AS team) ${GRANTS}`, [roleId]),
    grant(roleId, given) {
      const copies = store.all(COPIES, [roleId, roleId]).map((row) => String(row['roleid']));
      for (const [privilegeId, depth] of given) {
        const privilege = privileges.byId(privilegeId);
        if (!privilege) throw new Error(`There is no privilege ${privilegeId}`);
        for (const copy of copies) {
          store.run('DELETE FROM roleprivileges WHERE roleid = ? AND privilegeid = ?', [copy, privilege.id]);
          store.run(
            'INSERT INTO roleprivileges (roleprivilegeid, roleid, privilegeid, privilegedepthmask, versionnumber) ' +
              'VALUES (?, ?, ?, ?, ?)',
            [
              derivedGuid(`roleprivileges/${copy}/${privilege.id}`),
              copy,
              privilege.id,
              DEPTH_MASKS[depth],
              store.nextVersion(),
            ],
          );
        }
      }
    },
    revoke(roleId, privilegeId) {
      store.run(`DELETE FROM roleprivileges WHERE roleid IN (${COPIES}) AND (? IS NULL OR privilegeid = ?)`, [
        roleId,
        roleId,
        privilegeId ?? null,
        privilegeId ?? null,
      ]);
    },
  };
}
