// oidc-provider and an API that it protects, on free ports, until standard input ends. See tests/servers/works_with_oidc_provider.
import { spawn } from 'node:child_process';
import http2 from 'node:http2';
import https from 'node:https';

import { api } from './api.mjs';
import { certificates } from './certificates.mjs';
import { provider } from './provider.mjs';

process.stdin.resume().on('end', () => process.exit());

const { folder, root, server, keys, clients } = certificates();
// A client may present any certificate; the provider and the API decide whether it is valid.
const lenient = { ...server, ca: root, requestCert: true, rejectUnauthorized: false };
const listen = (listener) => new Promise((resolve) => {
  listener.listen(0, '127.0.0.1', () => resolve(`https://localhost:${listener.address().port}`));
});

const login = https.createServer(lenient);
const issuer = await listen(login);
const oidc = provider(issuer, clients.self.chain, keys);

// Each token request that was granted or deferred: client and time.
const asked = [];
oidc.on('grant.success', (ctx) => {
  asked.push({ client: ctx.query.over ?? ctx.oidc.client.clientId, at: Date.now() });
});

// Busy for the first request of each kind: oidc-provider has no rate limit.
const met = new Set();
oidc.use(async (ctx, next) => {
  const { busy } = ctx.query;
  if (!busy || met.has(busy)) return next();
  met.add(busy);
  const [status, wait] = busy.split('-');
  asked.push({ client: busy, at: Date.now() });
  ctx.status = Number(status);
  ctx.set('Retry-After', wait === 'date' ? new Date(Date.now() + 2000).toUTCString() : wait);
  ctx.type = 'html';
  ctx.body = '<h1>Busy</h1>';
});
login.on('request', oidc.callback());

const answer = api({ issuer, root, asked });
const protectedApi = await listen(http2.createSecureServer({ ...lenient, allowHTTP1: true }, answer));

// OpenSSL's server, which requires a known certificate and reports the error. Node accepts any and closes the connection.
const strict = await new Promise((resolve) => {
  const args = ['s_server', '-accept', '127.0.0.1:0', '-cert', 'server.pem', '-key', 'server.key', '-CAfile', 'root.pem',
    '-Verify', '2', '-verify_return_error'];
  const child = spawn('timeout', ['300', 'openssl', ...args], { cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] });
  process.on('exit', () => child.kill());
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const [, port] = /ACCEPT .*:(\d+)/.exec(text) ?? [];
    if (port) resolve(`https://localhost:${port}`);
  });
});

console.log(JSON.stringify({ issuer, api: protectedApi, strict, root, keys, clients }));
