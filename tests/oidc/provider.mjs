// oidc-provider with the clients, resources and lifetimes of the test.
import { X509Certificate, createPublicKey } from 'node:crypto';

import { CLIENT } from './certificates.mjs';

// oidc-provider requires Node.js 22; this is the only part that Node.js 20 lacks.
URL.parse ??= (...args) => (URL.canParse(...args) ? new URL(...args) : null);
const { default: Provider, errors } = await import('oidc-provider');

// The API's client, which may introspect tokens.
export const API = { id: 'the-api', secret: 'the-secret-of-the-api' };

// Each kind of token is another resource (RFC 8707).
const RESOURCES = {
  'https://api.bank.example/opaque?a=b': { accessTokenFormat: 'opaque', accessTokenTTL: 600 },
  'https://api.bank.example/jwt': { accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'RS256' } } },
  'urn:short': { accessTokenFormat: 'opaque', accessTokenTTL: 3 },
};

const SPECIAL = { id: 'id:%+&= ~*!\'()/?', secret: 'secret:%+&= ~%41*!"\'()\\/?#@' };

const machine = (rest) => ({ grant_types: ['client_credentials'], response_types: [], redirect_uris: [], ...rest });

function clients(selfSigned, keys) {
  const certificate = new X509Certificate(selfSigned);
  const jwk = { ...certificate.publicKey.export({ format: 'jwk' }), x5c: [certificate.raw.toString('base64')] };
  const by = (method) => ({ token_endpoint_auth_method: method });
  const bound = { tls_client_certificate_bound_access_tokens: true };
  return [
    machine({ client_id: API.id, client_secret: API.secret }),
    ...['plain', 'scoped', 'resourceful', 'revoked', 'short-lived', 'patient'].map((name) => (
      machine({ client_id: name, client_secret: `secret of ${name}`, scope: 'accounts:read' }))),
    machine({ client_id: SPECIAL.id, client_secret: SPECIAL.secret, ...by('client_secret_basic') }),
    machine({ client_id: `${SPECIAL.id}post`, client_secret: SPECIAL.secret, ...by('client_secret_post') }),
    machine({ client_id: 'certified', tls_client_auth_san_dns: CLIENT, ...by('tls_client_auth'), ...bound }),
    ...Object.entries(keys).map(([alg, pem]) => machine({
      client_id: `signs ${alg}`,
      jwks: { keys: [createPublicKey(pem).export({ format: 'jwk' })] },
      token_endpoint_auth_signing_alg: alg,
      ...by('private_key_jwt'),
    })),
    machine({ client_id: 'self-signed', jwks: { keys: [jwk] }, ...by('self_signed_tls_client_auth'), ...bound }),
  ];
}

export function provider(issuer, selfSigned, keys) {
  const certificate = (ctx) => ctx.socket.getPeerX509Certificate();
  return new Provider(issuer, {
    clients: clients(selfSigned, keys),
    scopes: ['accounts:read', 'payments:write'],
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth',
    ],
    enabledJWA: { clientAuthSigningAlgValues: Object.keys(keys) },
    discovery: { mtls_endpoint_aliases: { token_endpoint: `${issuer}/token?over=mtls` } },
    ttl: { ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 600 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId === API.id },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (ctx, resource) => {
          if (!RESOURCES[resource]) throw new errors.InvalidTarget();
          return { scope: 'accounts:read payments:write', audience: resource, ...RESOURCES[resource] };
        },
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => certificate(ctx)?.toString(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) =>
          property === 'tls_client_auth_san_dns' && certificate(ctx).checkHost(expected) === expected,
      },
    },
  });
}
