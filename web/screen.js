/**
 * Full screen and picture in picture, under the names the browsers have for them: an iPhone can only enlarge the video itself.
 * @typedef {HTMLVideoElement & { webkitEnterFullscreen?: () => void }} AppleVideo
 */

/** @param {HTMLVideoElement} video */
export function canFullScreen(video) {
  return (
    document.fullscreenEnabled === true ||
    typeof (/** @type {AppleVideo} */ (video).webkitEnterFullscreen) === 'function'
  );
}

/**
 * @param {HTMLElement} root
 * @param {HTMLVideoElement} video
 */
export function toggleFullScreen(root, video) {
  if (document.fullscreenElement !== null && document.fullscreenElement !== undefined) {
    document.exitFullscreen().catch(() => {});
  } else if (document.fullscreenEnabled === true) {
    root.requestFullscreen({ navigationUI: 'hide' }).catch(() => {});
  } else {
    /** @type {AppleVideo} */ (video).webkitEnterFullscreen?.();
  }
}

export function canPictureInPicture() {
  return document.pictureInPictureEnabled === true;
}

/** @param {HTMLVideoElement} video */
export function togglePictureInPicture(video) {
  if (!canPictureInPicture()) return;
  const change =
    document.pictureInPictureElement === video ? document.exitPictureInPicture() : video.requestPictureInPicture();
  Promise.resolve(change).catch(() => {});
}

/**
 * The keys of keyboards, headsets and lock screens.
 * @param {string} title
 * @param {{ play: () => void, pause: () => void, skip: (seconds: number) => void, seek: (seconds: number) => void }} actions
 */
export function announce(title, actions) {
  if (!('mediaSession' in navigator)) return;
  navigator.mediaSession.metadata = new MediaMetadata({ title });
  /** @type {[MediaSessionAction, MediaSessionActionHandler][]} */
  const handlers = [
    ['play', actions.play],
    ['pause', actions.pause],
    ['seekbackward', (details) => actions.skip(-(details.seekOffset ?? 10))],
    ['seekforward', (details) => actions.skip(details.seekOffset ?? 10)],
    ['seekto', (details) => actions.seek(details.seekTime ?? 0)],
  ];
  for (const [action, handler] of handlers) {
    try {
      navigator.mediaSession.setActionHandler(action, handler);
    } catch {
      // an action this browser does not know
    }
  }
}
