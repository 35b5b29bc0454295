import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Binary, Capabilities } from '../ffmpeg/capabilities.ts';
import type { Encoders } from '../ffmpeg/hardware.ts';
import { problems } from './problem.ts';
import { CapabilitiesInfo } from './schemas.ts';

/** `/capabilities`: what the installed FFmpeg can do. Waits for the answers that FFmpeg is asked for at start. */
export function capabilityRoutes(capabilities: Promise<Capabilities>, encoders: Encoders): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/capabilities',
      {
        config: { tier: 'control' },
        schema: { summary: 'What can be transcoded here', response: { 200: CapabilitiesInfo, default: problems() } },
      },
      async () => {
        const found = await capabilities;
        const { encoder, trials } = await encoders.report();
        return {
          ffmpeg: installed(found.ffmpeg),
          ffprobe: installed(found.ffprobe),
          video: found.canTranscodeVideo,
          audio: found.canTranscodeAudio,
          burnIn: { pictures: found.canBurnInPictures, text: found.canBurnInText },
          missing: [...found.missing],
          encoder: found.canTranscodeVideo ? encoder : null,
          hardware: trials.map(({ failure, ...trial }) => ({
            ...trial,
            works: failure === undefined,
            ...(failure === undefined ? {} : { failure }),
          })),
        };
      },
    );
  };
}

/** Its place on this machine is not for clients. */
function installed(binary: Binary | undefined): { version: string } | null {
  return binary ? { version: binary.version } : null;
}
