const SOURCE = 'a path, an http(s) URL, a magnet link, an infohash or a .torrent file';

const HELP = {
  serve: `raffi-server [serve]

Serves on http://127.0.0.1:6969 until it is ended. What it does is set by variables, RAFFI_SERVER_ADDR=host:port
first of all: README.md lists them.
`,
  play: `raffi-server play <source> [--at <time>] [--no-open]

Opens the page on a source: ${SOURCE}.
Serves until it is ended, unless a server is there already, which then plays it.

  --at <time>   where to begin: seconds, m:ss or h:mm:ss
  --no-open     print the address instead of opening it
`,
  probe: `raffi-server probe <source> [--json]

Tells what is in a source, and how it would be played: tracks, key frames, verdict. Serves nothing.

  --json        as JSON, on one line
`,
  clip: `raffi-server clip <source> --start <time> --end <time> [-o <file>] [--audio <n>] [--json]

Cuts a stretch, to the frame, into an MP4 (H.264, AAC). What can be copied is copied.

  --start, --end <time>   seconds, m:ss or h:mm:ss
  -o, --output <path>     where to, a file or a folder; nothing is overwritten: a number is added to the name.
                          Without it: in RAFFI_CLIPS_DIR, with the name of the source
  --audio <n>             which audio track, from 0
  --json                  the result as JSON, on one line
`,
} as const;

const OVERVIEW = `raffi-server: any file, link or torrent as complete, seekable HLS

  raffi-server [serve]              serve (the default)
  raffi-server play <source>        open the page on a source
  raffi-server probe <source>       tell what is in it, and how it would be played
  raffi-server clip <source> ...    cut a stretch into an MP4
  raffi-server <command> --help     more on a command
  raffi-server --version

Status: 0 all is well, 1 it did not work (the last line says why), 2 the command makes no sense, 130 interrupted.
`;

export function helpText(of: keyof typeof HELP | undefined): string {
  return of === undefined ? OVERVIEW : HELP[of];
}
