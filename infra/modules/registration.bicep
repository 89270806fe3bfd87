metadata description = 'The registration in Entra: what the app proves itself as to Dataverse, and what callers ask tokens for.'

extension microsoftGraphV1

@description('Key of the registration, chosen once: it cannot be changed.')
@minLength(1)
@maxLength(120)
param uniqueName string

@description('Name shown in Entra.')
@minLength(1)
@maxLength(120)
param displayName string

@description('Accounts that may sign in to the registration: of this tenant, or of any organization.')
@allowed(['AzureADMyOrg', 'AzureADMultipleOrgs'])
param signInAudience string

@description('Addresses that a sign-in may return to, for the authorization-code connection.')
param redirectUris string[]

@description('Whether the registration asks for the delegated permission user_impersonation of Dataverse.')
param delegatedPermission bool

@description('Whether the service principal is made: without it there is no application user and no token.')
param createServicePrincipal bool

@description('Whether the identity of the app may act as the registration, without certificate and secret.')
param federatedCredential bool

@description('Object id of the service principal of the identity of the app.')
@minLength(36)
@maxLength(36)
param identityPrincipalId string

@description('Object ids of owners. A pipeline that holds Application.ReadWrite.OwnedBy only has to name itself.')
param ownerIds string[]

// Dynamics CRM (Dataverse) and its delegated scope user_impersonation, the same in every tenant.
var dataverseAppId = '00000007-0000-0000-c000-000000000000'
var userImpersonation = '78ce3f0f-a1ce-49c2-8cde-64b5c0896db4'

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  signInAudience: signInAudience
  api: {
    requestedAccessTokenVersion: 2
  }
  appRoles: [
    {
      id: guid(uniqueName, 'Bridge.Use')
      value: 'Bridge.Use'
      displayName: 'Use the bridge'
      description: 'May read and write rows, and start runs.'
      allowedMemberTypes: ['Application', 'User']
      isEnabled: true
    }
    {
      id: guid(uniqueName, 'Bridge.Admin')
      value: 'Bridge.Admin'
      displayName: 'Administer the bridge'
      description: 'May change definitions, metadata and registrations besides.'
      allowedMemberTypes: ['Application', 'User']
      isEnabled: true
    }
  ]
  owners: {
    relationships: ownerIds
  }
  requiredResourceAccess: delegatedPermission
    ? [
        {
          resourceAppId: dataverseAppId
          resourceAccess: [
            {
              id: userImpersonation
              type: 'Scope'
            }
          ]
        }
      ]
    : []
  web: {
    redirectUris: redirectUris
  }

  resource trust 'federatedIdentityCredentials@v1.0' = if (federatedCredential) {
    // PARENT/CHILD, and through the symbol, so that it waits for the application.
    name: '${application.uniqueName}/function-app-identity'
    audiences: ['api://AzureADTokenExchange']
    issuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
    subject: identityPrincipalId
  }
}

// Any application of the tenant could get a token for the bridge; with the requirement it needs one of the roles.
resource servicePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = if (createServicePrincipal) {
  appId: application.appId
  appRoleAssignmentRequired: true
}

@description('Key of the registration.')
output uniqueName string = application.uniqueName

@description('Client id of the registration.')
output clientId string = application.appId
