import { launchBrowser, PlayerPage, startServer } from '../test/e2e/browser.ts';
await using server = await startServer();
const browser = await launchBrowser();
for (const f of process.argv.slice(2)) {
  await using player = await PlayerPage.open(browser, server);
  await player.enter(f);
  const log: string[] = [];
  try {
    await player.playing(); log.push('plays');
    for (const t of [2, 9, 14, 25]) {
      const r = await player.page.evaluate(`new Promise((resolve)=>{const {video}=globalThis.__raffi; const s=performance.now(); video.currentTime=${t}; const e=()=>{ if(video.currentTime>${t}+0.2 || video.ended) {resolve(Math.round(performance.now()-s)+'ms@'+video.currentTime.toFixed(2)+'/'+video.duration.toFixed(1)+' w'+video.videoWidth+'x'+video.videoHeight);} else if(performance.now()-s>6000) resolve('STUCK at '+video.currentTime); else setTimeout(e,20)}; video.play(); e();})`);
      log.push(`seek ${t}: ${r}`);
    }
  } catch (e) { log.push('FAIL ' + (e as Error).message + ' ' + await player.page.textContent('#failure-detail')); }
  console.log(f, log.join(' | '), player.troubles.join(' '));
}
await browser.close();
