import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Convert } from 'typebox/value';

/**
 * Validates JSON bodies as they are. The framework's validator is made for query strings: it takes `null` for 0, `true` for 1 and `["x"]` for
 * "x". A property that is `null` or empty counts as absent, since some clients send every field that they know.
 */
export const jsonBody: FastifySchemaCompiler<unknown> = ({ schema, httpPart }) => {
  const validator = Compile(schema as TSchema);
  return (data: unknown) => {
    // A body of another type, which has no schema but its type.
    if (Buffer.isBuffer(data)) return { value: data };
    // What stands in an address is text.
    const value = httpPart === 'body' ? withoutBlanks(data) : Convert(schema as TSchema, data);
    if (validator.Check(value)) return { value };
    return { error: validator.Errors(value).map((error) => ({ ...error, params: { ...error.params } })) };
  };
};

function withoutBlanks(data: unknown): unknown {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return data;
  return Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null && value !== ''));
}
