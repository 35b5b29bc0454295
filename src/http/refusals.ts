import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError, toAppError } from '../errors.ts';
import type { Gate } from './gate.ts';
import { PROBLEMS, problemBody, sendProblem } from './problem.ts';

/** The requests of a connection that are not yet answered to the end. */
const unanswered = new WeakMap<Socket, Set<FastifyReply['raw']>>();

/** Answers a connection whose bytes are no HTTP request, and closes it: no route and no hook ever sees it. */
export function refuseConnection(error: NodeJS.ErrnoException, socket: Socket, log: FastifyBaseLogger): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  log.debug({ code: error.code, reason: error.message }, 'not a request');
  // In the middle of an answer, a second one would only be taken for a part of it; before, for that of another request.
  const pending = [...(unanswered.get(socket) ?? [])];
  if (socket.writable && pending.every((answer) => !answer.headersSent && !answer.req.complete)) {
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

/** Answers addresses that the router cannot read; no hook sees them, so the gate is asked here. */
export function refuseAddress(gate: Gate, error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  try {
    gate.admit(request, reply);
  } catch (refusal) {
    void sendProblem(reply, toAppError(refusal));
    return;
  }
  if (error.code === 'FST_ERR_BAD_URL')
    void sendProblem(
      reply,
      new AppError('bad-request', 'path: "%" must be followed by two hexadecimal digits of UTF-8.'),
    );
  else void sendProblem(reply, new AppError('not-found', 'There is nothing at this address.'));
}

/** Remembers the answers that are under way on each connection. */
export function registerAnswers(app: FastifyInstance): void {
  // RFC 9110, 10.1.1: an unknown expectation may be ignored.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  app.addHook('onRequest', async (request, reply) => {
    const { socket } = request.raw;
    const answers = unanswered.get(socket) ?? new Set();
    unanswered.set(socket, answers.add(reply.raw));
    reply.raw.once('close', () => answers.delete(reply.raw));
  });
}
