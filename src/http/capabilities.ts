import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Binary, Capabilities } from '../ffmpeg/capabilities.ts';
import { waitFor } from '../lib/abort.ts';
import { CapabilitiesInfo, Problem } from './schemas.ts';
import { viewerSignal } from './viewer.ts';

/** `/capabilities`: what the installed FFmpeg can do. Waits for the answers that FFmpeg is asked for at start. */
export function capabilityRoutes(capabilities: Promise<Capabilities>): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/capabilities',
      { schema: { summary: 'What can be transcoded here', response: { 200: CapabilitiesInfo, default: Problem } } },
      async (_request, reply) => {
        const found = await waitFor(capabilities, viewerSignal(reply));
        return {
          ffmpeg: installed(found.ffmpeg),
          ffprobe: installed(found.ffprobe),
          video: found.canTranscodeVideo,
          audio: found.canTranscodeAudio,
          missing: [...found.missing],
        };
      },
    );
  };
}

/** Its place on this machine is not for clients. */
function installed(binary: Binary | undefined): { version: string } | null {
  return binary ? { version: binary.version } : null;
}
