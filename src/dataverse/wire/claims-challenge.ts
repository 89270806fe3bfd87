/**
 * The claims that a 401 asks for, as JSON: `WWW-Authenticate: Bearer …, error="insufficient_claims", claims="<base64>"`.
 * Undefined when there are none or they are no JSON object. Source: learn.microsoft.com, "Claims challenges, claims
 * requests and client capabilities".
 */
export function challengedClaims(header: string | undefined): string | undefined {
  const encoded = /^Bearer\b.*?[\s,]claims="([^"]+)"/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  try {
    const claims: unknown = JSON.parse(text);
    return typeof claims === 'object' && claims !== null && !Array.isArray(claims) ? text : undefined;
  } catch {
    return undefined;
  }
}
