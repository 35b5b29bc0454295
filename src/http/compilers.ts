/**
 * Validators and serializers, compiled when they are first used: to compile all of them took longer than everything else from start to listening. That each
 * of them can be compiled is what `test/integration/tiers.test.ts` shows.
 */
import validatorSelector from '@fastify/ajv-compiler';
import serializerSelector from '@fastify/fast-json-stringify-compiler';
import type { FastifySchemaCompiler, FastifySerializerCompiler, FastifyServerOptions } from 'fastify';

type Compilers = NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>;
/** What the framework asks for; the types that it declares are Ajv's and do not meet. */
type Build<Compiler> = (externalSchemas: unknown, options?: unknown) => Compiler;

/** The framework's own compilers, at the last moment. A schema that can't be compiled makes its route answer `internal`. */
export function lateCompilers(): Compilers {
  const { buildValidator, buildSerializer } = frameworkCompilers();
  const validators: typeof buildValidator = (...options) => {
    const compiler = once(() => buildValidator(...options));
    return (route) => lateValidator(once(() => compiler()(route)));
  };
  const serializers: typeof buildSerializer = (...options) => {
    const compiler = once(() => buildSerializer(...options));
    return (route) => {
      const serialize = once(() => compiler()(route));
      return (document: unknown) => serialize()(document);
    };
  };
  return { buildValidator: validators, buildSerializer: serializers } as unknown as Compilers;
}

/** As the framework has them. */
export function frameworkCompilers() {
  return {
    buildValidator: validatorSelector() as unknown as Build<FastifySchemaCompiler<unknown>>,
    buildSerializer: serializerSelector() as unknown as Build<FastifySerializerCompiler<unknown>>,
  };
}

type Validator = ReturnType<FastifySchemaCompiler<unknown>>;

/** The framework looks for the errors on the function, and hands what Ajv needs to coerce a root to functions that have `schemaEnv`. */
function lateValidator(compiled: () => Validator): Validator {
  const validate = (...data: Parameters<Validator>): ReturnType<Validator> => {
    const validator = compiled();
    const verdict = validator(...data);
    late.errors = validator.errors ?? null;
    return verdict;
  };
  const late: Validator = Object.assign(validate, { schemaEnv: true });
  return late;
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
