// Whether the server in this container answers: status 0, else 1. For HEALTHCHECK, which tells a container engine what to start again.
const address = process.env.RAFFI_SERVER_ADDR || `:${process.env.PORT || 6969}`;
const port = address.slice(address.lastIndexOf(':') + 1);
const healthy = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(4_000) }).then(
  ({ ok }) => ok,
  () => false,
);
process.exitCode = healthy ? 0 : 1;
