// A small protected API: introspects opaque tokens at oidc-provider, and verifies JWTs with its keys.
import { createHash } from 'node:crypto';
import https from 'node:https';

import { createLocalJWKSet, jwtVerify } from 'jose';

import { API } from './provider.mjs';

export function api({ issuer, root, asked }) {
  const calls = [];

  const send = (method, path, headers = {}, body = '') => new Promise((resolve, reject) => {
    const request = https.request(`${issuer}${path}`, { method, ca: root, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => resolve(JSON.parse(text)));
    });
    request.on('error', reject).end(body);
  });

  // RFC 7662.
  const introspect = (token) => send('POST', '/token/introspection', {
    authorization: `Basic ${Buffer.from(`${API.id}:${API.secret}`).toString('base64')}`,
    'content-type': 'application/x-www-form-urlencoded',
  }, new URLSearchParams({ token }).toString());

  // Returns the claims of a valid token; throws for any other.
  const claims = async (path, token, socket) => {
    if (path === '/jwt') {
      const keys = createLocalJWKSet(await send('GET', '/jwks'));
      const { payload } = await jwtVerify(token, keys, { issuer, audience: 'https://api.bank.example/jwt' });
      return payload;
    }
    const found = await introspect(token);
    if (!found.active) throw new Error('not active');
    const thumbprint = found.cnf?.['x5t#S256'];
    // RFC 8705, section 3.
    const certificate = socket.getPeerX509Certificate()?.raw;
    if (thumbprint && thumbprint !== (certificate && createHash('sha256').update(certificate).digest('base64url'))) {
      throw new Error('another certificate');
    }
    return found;
  };

  return async (request, response) => {
    const path = request.url;
    const reply = (status, body, challenge) => {
      const headers = challenge ? { 'www-authenticate': challenge } : {};
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify(body));
    };
    if (path === '/log') return reply(200, { asked, calls });

    const [scheme, token] = (request.headers.authorization ?? '').split(' ');
    const call = { path, version: request.httpVersion };
    try {
      if (scheme !== 'Bearer') throw new Error('no token');
      const found = await claims(path, token, request.stream?.session?.socket ?? request.socket);
      const covered = path !== '/payments' || found.scope?.includes('payments:write');
      calls.push({ ...call, client: found.client_id, status: covered ? 200 : 403 });
      if (covered) return reply(200, found);
      return reply(403, {}, `Bearer realm="${issuer}", error="insufficient_scope", scope="payments:write"`);
    } catch (error) {
      calls.push({ ...call, status: 401, reason: error.message });
      return reply(401, {}, `Bearer realm="${issuer}", error="invalid_token", error_description="expired or unknown"`);
    }
  };
}
