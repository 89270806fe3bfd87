using 'main.bicep'

param environmentName = 'dev'

param connections = [
  {
    name: 'default'
    url: 'https://contoso-dev.crm4.dynamics.com'
    credential: 'managedIdentity'
    allowedTables: ['account', 'contact']
  }
]

param alertEmails = []

// What infra/scripts/certificate.ts printed, while certificates are registered; otherwise they stay as they are.
param entraCertificates = json(readEnvironmentVariable('BRIDGE_CERTIFICATES', '[]'))
