/** Types of `/web/vendor/hls.mjs`, which the server serves from node_modules/hls.js/dist/hls.mjs. */
export * from 'hls.js';
export { default } from 'hls.js';
