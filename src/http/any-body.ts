import type { FastifyInstance } from 'fastify';

const LIMIT = 64 * 1024;

/**
 * Lets the routes of a scope take any body, as text: `sendBeacon` chooses the content type, and many clients name one on a DELETE without a body.
 * @throws AppError `body-too-large` to who sends more than 64 kB.
 */
export function takeAnyBody(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'string', bodyLimit: LIMIT }, (_request, body, done) => done(null, body));
  // A content type that is empty or no media type would be refused before any parser is asked.
  scope.addHook('onRequest', async ({ headers }) => {
    if (headers['content-type'] !== undefined) headers['content-type'] = 'application/octet-stream';
  });
}
