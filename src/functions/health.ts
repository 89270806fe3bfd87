import * as z from 'zod';
import { json, type Route, route } from '../http/routes.ts';

/** Liveness: touches no dependency, so that a restart loop never hides behind an outage elsewhere. */
export const healthRoutes: readonly Route[] = [
  route({
    name: 'health',
    methods: ['GET'],
    route: 'health',
    access: 'anonymous',
    withoutSettings: true,
    tag: 'health',
    summary: 'Tell that the app is alive.',
    answers: { 200: { description: 'The app answers.', schema: z.strictObject({ status: z.literal('ok') }) } },
    example: { status: 200 },
    handler: () => json({ status: 'ok' }),
  }),
];
