metadata description = 'What an operator must know: failures, throttling, poison messages, credentials near their end.'

import { alertThresholds, resourceTags } from '../types.bicep'

@description('What the names of the alerts begin with.')
@minLength(1)
@maxLength(100)
param namePrefix string

@description('Region.')
param location string

@description('Tags.')
param tags resourceTags

@description('Name of the Log Analytics workspace.')
@minLength(4)
@maxLength(63)
param workspaceName string

@description('Name of the action group that is told.')
@minLength(1)
@maxLength(260)
param actionGroupName string

@description('Name of the vault.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('What the alerts compare against.')
param thresholds alertThresholds

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' existing = {
  name: actionGroupName
}

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: vaultName
}

// A caller's own fault (4xx) is no failure of the app.
resource failures 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${namePrefix}-failures'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Bridge: invocations fail'
    description: 'More invocations of functions failed than usual. Look at the exceptions of the same time in Application Insights.'
    enabled: true
    severity: 1
    scopes: [workspace.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'AppRequests | summarize failed = countif(Success == false and ResultCode !startswith "4"), total = count() | where total > 0 | project percent = 100.0 * failed / total'
          metricMeasureColumn: 'percent'
          timeAggregation: 'Maximum'
          operator: 'GreaterThanOrEqual'
          threshold: thresholds.failedPercent
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}

// The timer that tests every connection logs an error, with cause and next step, for each that fails.
resource connectionFailures 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${namePrefix}-connections'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Bridge: a connection does not work'
    description: 'The regular test of a connection failed. The log line of the function connectionHealth says at which stage, why, and what to do next.'
    enabled: true
    severity: 1
    scopes: [workspace.id]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT30M'
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'AppTraces | where OperationName == "connectionHealth" and SeverityLevel >= 3'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}

resource throttling 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${namePrefix}-throttling'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Bridge: a service holds it back'
    description: 'Dataverse or another service answers 429 more often than usual. Others may use up the limits of the same application user.'
    enabled: true
    severity: 3
    scopes: [workspace.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'AppDependencies | where ResultCode == "429"'
          timeAggregation: 'Count'
          operator: 'GreaterThanOrEqual'
          threshold: thresholds.throttledCalls
          dimensions: [
            {
              name: 'Target'
              operator: 'Include'
              values: ['*']
            }
          ]
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}

// Read from the log of the queue service, so that it tells of every poison queue whatever the app does with it.
// That log may come minutes late, hence the long window.
resource poisonMessages 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${namePrefix}-poison'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Bridge: messages were given up'
    description: 'A message failed too often and was moved to a poison queue.'
    enabled: true
    severity: 2
    scopes: [workspace.id]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT1H'
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'StorageQueueLogs | where OperationName == "PutMessage" and StatusCode == "201" and Uri contains "-poison/"'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}

resource vaultEvents 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: '${namePrefix}-vault'
  location: location
  tags: tags
  properties: {
    source: vault.id
    topicType: 'Microsoft.KeyVault.vaults'
  }
}

// Key Vault tells 30 days ahead, and only of versions that were made after this subscription.
resource credentialExpiry 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: vaultEvents
  name: 'credential-expiry'
  properties: {
    // The only schema that an alert takes.
    eventDeliverySchema: 'CloudEventSchemaV1_0'
    filter: {
      includedEventTypes: [
        'Microsoft.KeyVault.CertificateNearExpiry'
        'Microsoft.KeyVault.CertificateExpired'
        'Microsoft.KeyVault.SecretNearExpiry'
        'Microsoft.KeyVault.SecretExpired'
      ]
    }
    destination: {
      endpointType: 'MonitorAlert'
      properties: {
        severity: 'Sev1'
        description: 'Bridge: a certificate or secret in the vault ends within 30 days. Make a new version and register it before that.'
        actionGroups: [actionGroup.id]
      }
    }
  }
}
