// Whether the server in this container answers: status 0, else 1. For HEALTHCHECK: Docker and Compose show it, and restart nothing because of it; Swarm does.
const address = process.env.RAFFI_SERVER_ADDR?.trim() || `:${process.env.PORT?.trim() || 6969}`;
// What stands for all interfaces is the address of none.
const here = address.replace(/^(?:0\.0\.0\.0|\[::\]|)(?=:\d+$)/, '127.0.0.1');
const healthy = await fetch(`http://${here}/health`, { signal: AbortSignal.timeout(4_000) }).then(
  ({ ok }) => ok,
  () => false,
);
process.exitCode = healthy ? 0 : 1;
