# The server with FFmpeg, for a read-only root: it writes to /tmp and to the two volumes. docs/deployment.md says how to run it; `npm run prove:container`
# carries these steps out without a container engine.
ARG DEBIAN=bookworm

FROM node:26-${DEBIAN}-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN node scripts/build-package.mjs \
 && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
 && rm -rf node_modules/node-linux-*/include node_modules/node-linux-*/share

# The runtime comes with the packages, in the version that the lockfile has, so that no npm and nothing else of the image above is needed here.
FROM debian:${DEBIAN}-slim
# The versions are those of Debian's security updates at the time of building; libatomic1 is for Node, the font for subtitles in the picture.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates ffmpeg fonts-dejavu-core libatomic1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 raffi \
 && useradd --uid 10001 --gid raffi --no-create-home --home-dir /tmp --shell /usr/sbin/nologin raffi \
 && mkdir /clips /torrents \
 && chown raffi:raffi /clips /torrents
WORKDIR /app
COPY --from=build /app/package.json /app/LICENSE ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist/npm ./dist/npm
COPY deploy/healthcheck.mjs scripts/compile.mjs ./dist/npm/scripts/
ENV PATH=/app/node_modules/.bin:/usr/local/bin:/usr/bin:/bin \
    RAFFI_SERVER_ADDR=:6969 \
    RAFFI_MEDIA_ROOTS=/media \
    RAFFI_TORRENT_DIR=/torrents \
    RAFFI_CLIPS_DIR=/clips \
    RAFFI_CACHE_DIR=/tmp
# Compiled here once, since nothing can be kept there later.
RUN node dist/npm/scripts/compile.mjs
USER 10001:10001
VOLUME ["/clips", "/torrents"]
EXPOSE 6969
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["node", "/app/dist/npm/scripts/healthcheck.mjs"]
ENTRYPOINT ["node", "--max-semi-space-size=4", "/app/dist/npm/bin/raffi-server.mjs"]
