import type { PlayerPage } from './browser.ts';

/** The pitch of the beeps that are heard within the next seconds, Hz, to the nearest 500. */
function loudestPitch(player: PlayerPage): Promise<number> {
  return player.page.evaluate(`(async () => {
    const { video } = globalThis.__raffi;
    if (!globalThis.analyser) {
      const audio = new AudioContext();
      await audio.resume();
      globalThis.analyser = new AnalyserNode(audio, { fftSize: 2048, smoothingTimeConstant: 0 });
      audio.createMediaElementSource(video).connect(globalThis.analyser).connect(audio.destination);
    }
    const { analyser } = globalThis;
    const levels = new Float32Array(analyser.frequencyBinCount);
    let loudest = { level: -Infinity, pitch: 0 };
    for (const end = performance.now() + 2500; performance.now() < end; await new Promise((r) => setTimeout(r, 15))) {
      analyser.getFloatFrequencyData(levels);
      const bin = levels.indexOf(Math.max(...levels));
      if (levels[bin] > loudest.level) loudest = { level: levels[bin], pitch: bin * analyser.context.sampleRate / analyser.fftSize };
    }
    return Math.round(loudest.pitch / 500) * 500;
  })()`);
}

/** Resolves once beeps of this pitch are heard and no others; what was buffered before a switch may sound for a while. */
export async function hears(player: PlayerPage, pitch: number): Promise<void> {
  const heard: number[] = [];
  while (heard.at(-1) !== pitch) {
    if (heard.length === 8) throw new Error(`${heard} Hz were heard, never ${pitch} Hz`);
    heard.push(await loudestPitch(player));
  }
}
