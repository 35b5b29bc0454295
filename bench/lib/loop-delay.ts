/** Preload of a benchmarked server: prints its event loop delay to stderr when it ends. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const histogram = monitorEventLoopDelay({ resolution: 5 });
// Start-up is not what is measured.
setTimeout(() => histogram.enable(), 1_000).unref();
process.on('exit', () => {
  const ms = (nanoseconds: number): string => (nanoseconds / 1e6).toFixed(1);
  process.stderr.write(
    `event loop delay: p50 ${ms(histogram.percentile(50))} ms, p99 ${ms(histogram.percentile(99))} ms, max ${ms(histogram.max)} ms\n`,
  );
});
