import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../errors.ts';
import { PROBLEMS, problemBody, sendProblem } from './problem.ts';

/** How many answers are under way on a connection; none: not in the map. */
const answering = new WeakMap<Socket, number>();

/** Answers a connection whose bytes are no HTTP request, and closes it: no route and no hook ever sees it. */
export function refuseConnection(error: NodeJS.ErrnoException, socket: Socket, log: FastifyBaseLogger): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  log.debug({ code: error.code, reason: error.message }, 'not a request');
  // In the middle of an answer, a second one would only be taken for a part of it.
  if (socket.writable && !answering.has(socket)) {
    const problem = notARequest(error.code);
    const { status } = PROBLEMS[problem.code];
    const body = JSON.stringify(problemBody(problem));
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
  socket.destroy(error);
}

function notARequest(code: string | undefined): AppError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new AppError('request-timeout', 'The request did not arrive in time.');
  if (code === 'HPE_HEADER_OVERFLOW')
    return new AppError('headers-too-large', 'The address and the headers together are longer than 16 kB.');
  return new AppError('bad-request', 'request: is not valid HTTP.');
}

/** Answers addresses that the router cannot read. */
export function refuseAddress(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  if (error.code === 'FST_ERR_BAD_URL')
    void sendProblem(
      reply,
      new AppError('bad-request', 'path: "%" must be followed by two hexadecimal digits of UTF-8.'),
    );
  else void sendProblem(reply, new AppError('not-found', 'There is nothing at this address.'));
}

/** What Node itself would refuse with an empty answer. */
export function registerRequestChecks(app: FastifyInstance): void {
  // RFC 9110, 10.1.1: an unknown expectation may be ignored.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  app.addHook('onRequest', async (request, reply) => {
    const { socket } = request.raw;
    answering.set(socket, (answering.get(socket) ?? 0) + 1);
    reply.raw.once('close', () => {
      const left = (answering.get(socket) ?? 1) - 1;
      if (left > 0) answering.set(socket, left);
      else answering.delete(socket);
    });
    // RFC 9112, 3.2.
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1')
      throw new AppError('bad-request', 'header Host: is missing.');
  });
}
