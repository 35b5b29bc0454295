import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Binary, Capabilities } from '../ffmpeg/capabilities.ts';
import { CapabilitiesInfo, ProblemAnswer } from './schemas.ts';

/** `/capabilities`: what the installed FFmpeg can do. Waits for the answers that FFmpeg is asked for at start. */
export function capabilityRoutes(capabilities: Promise<Capabilities>): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/capabilities',
      {
        schema: { summary: 'What can be transcoded here', response: { 200: CapabilitiesInfo, default: ProblemAnswer } },
      },
      async () => {
        const found = await capabilities;
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
