// @badgateway/oauth2-client: one OAuth2Fetch for all callers, over Node's own fetch, which follows redirects.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { OAuth2Client, OAuth2Fetch } from '@badgateway/oauth2-client';

const [tokenEndpoint, apiUrl, clientId, clientSecret] = process.argv.slice(2);
const client = new OAuth2Client({ server: tokenEndpoint, tokenEndpoint, clientId, clientSecret });
const wrapper = new OAuth2Fetch({ client, getNewToken: () => client.clientCredentials() });

async function call(wait, timeout, url) {
  await sleep(wait);
  const start = performance.now();
  let outcome;
  try {
    const response = await wrapper.fetch(url, timeout ? { signal: AbortSignal.timeout(timeout) } : {});
    await response.arrayBuffer();
    outcome = response.status;
  } catch (error) {
    outcome = error.name === 'TimeoutError' ? 'timeout' : 'error';
    if (outcome === 'error') console.error(error);
  }
  return `${outcome}:${Math.round(performance.now() - start)}`;
}

const folder = new URL('node_modules/@badgateway/oauth2-client/package.json', import.meta.url);
console.log(`ready @badgateway/oauth2-client ${JSON.parse(readFileSync(folder)).version}, Node.js ${process.versions.node}`);
for await (const line of createInterface({ input: process.stdin })) {
  const [calls, gap, timeout, url] = line.split(' ');
  const callers = Array.from({ length: Number(calls) }, (_, number) => call(number * gap, Number(timeout), url));
  console.log((await Promise.all(callers)).join(' '));
}
