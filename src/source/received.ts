/** Bytes that sources have given since this process began, by where they came from; torrents count their own. They only ever rise. */
export const received = { http: 0, file: 0 };
