import * as z from 'zod';

// Data actions of the built-in roles, after "Microsoft.KeyVault/vaults/":
// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/security
const ROLES = {
  'Key Vault Secrets User': ['secrets/getSecret/action', 'secrets/readMetadata/action'],
  'Key Vault Secrets Officer': ['secrets/*'],
  'Key Vault Certificate User': [
    'certificates/read',
    'secrets/getSecret/action',
    'secrets/readMetadata/action',
    'keys/read',
  ],
  'Key Vault Crypto User': ['keys/read', 'keys/sign/action'],
} as const;

const roleNameSchema = z.enum([
  'Key Vault Secrets User',
  'Key Vault Secrets Officer',
  'Key Vault Certificate User',
  'Key Vault Crypto User',
]);

export const roleAssignmentSchema = z.object({
  /** Object id of the identity that has the role. */
  principalId: z.string(),
  role: roleNameSchema,
  /** One object, such as `secrets/webhook-key`; the whole vault when left out. */
  object: z.string().optional(),
});

export type RoleAssignment = z.infer<typeof roleAssignmentSchema>;

/** Whether an assignment allows `action` on `object` (`secrets/<name>`; empty for a list of the vault). */
export function isAllowed(
  assignments: readonly RoleAssignment[],
  request: { principalId: string; action: string; object: string },
): boolean {
  return assignments.some(
    (assignment) =>
      assignment.principalId.toLowerCase() === request.principalId.toLowerCase() &&
      (assignment.object === undefined || assignment.object.toLowerCase() === request.object.toLowerCase()) &&
      ROLES[assignment.role].some((granted) => covers(granted, request.action)),
  );
}

const covers = (granted: string, action: string): boolean =>
  granted.endsWith('*') ? action.startsWith(granted.slice(0, -1)) : granted === action;
