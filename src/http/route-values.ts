/**
 * The values of a route's parameters, read from the path of the URL. `request.params` is not used for them: in
 * Azure a query value of the same name shows up there too. Undefined when the path does not fit the route.
 *
 * @param route a template such as `connections/{connection}/test`, without the prefix of host.json
 */
export function routeValues(route: string, url: URL): Record<string, string> | undefined {
  const template = route.split('/');
  const segments = url.pathname.split('/').filter((segment) => segment !== '');
  // The prefix is a setting of host.json, so the template is held against the end of the path.
  const own = segments.slice(-template.length);
  if (own.length !== template.length) return undefined;
  const values: Record<string, string> = Object.create(null);
  for (const [at, part] of template.entries()) {
    const segment = decode(own[at] ?? '');
    const name = part.match(/^\{(\w+)\}$/)?.[1];
    if (segment === undefined) return undefined;
    if (name !== undefined) values[name] = segment;
    else if (segment.toLowerCase() !== part.toLowerCase()) return undefined;
  }
  return values;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
