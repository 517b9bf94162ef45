// Certificates as a bank might issue them: a root, an intermediate, and certificates with keys in all of OpenSSL's formats.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// The client's name in its certificate, which identifies it at the authorization server.
export const CLIENT = 'client.bank.example';

export function certificates() {
  const folder = mkdtempSync(join(tmpdir(), 'oidc-'));
  process.on('exit', () => rmSync(folder, { recursive: true }));
  const openssl = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const read = (name) => readFileSync(join(folder, name), 'utf8');

  // Issued by `authority`, with a new key unless one is given.
  const issue = (name, authority, extensions, key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`]) => {
    writeFileSync(join(folder, `${name}.ext`), extensions.join('\n'));
    openssl('req', '-new', '-subj', `/O=A bank/CN=${name}`, '-out', `${name}.csr`, ...key);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${authority}.pem`, '-CAkey', `${authority}.key`,
      '-CAcreateserial', '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.pem`);
  };

  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/O=A bank/CN=root',
    '-keyout', 'root.key', '-out', 'root.pem');
  issue('intermediate', 'root', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign']);
  issue('server', 'root', ['subjectAltName=DNS:localhost']);
  issue('rsa', 'intermediate', [`subjectAltName=DNS:${CLIENT}`]);
  openssl('rsa', '-in', 'rsa.key', '-traditional', '-out', 'rsa.pkcs1');
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-out', 'ec.key');
  issue('ec', 'intermediate', [`subjectAltName=DNS:${CLIENT}`], ['-key', 'ec.key']);
  issue('stranger', 'intermediate', ['subjectAltName=DNS:stranger.bank.example']);
  openssl('req', '-x509', '-newkey', 'ed25519', '-nodes', '-days', '2', '-subj', '/CN=self-signed',
    '-keyout', 'self.key', '-out', 'self.pem');
  // Keys that sign assertions.
  for (const [name, ...options] of [
    ['es256', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
    ['es384', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
    ['eddsa', 'ed25519'],
  ]) {
    openssl('genpkey', '-algorithm', ...options, '-out', name);
  }

  const chain = (name, key) => ({ chain: read(`${name}.pem`) + read('intermediate.pem'), key: read(key) });
  return {
    folder,
    root: read('root.pem'),
    server: { cert: read('server.pem'), key: read('server.key') },
    keys: {
      PS256: read('rsa.key'), RS256: read('rsa.pkcs1'), ES256: read('es256'), ES384: read('es384'), EdDSA: read('eddsa'),
    },
    clients: {
      pkcs8: chain('rsa', 'rsa.key'),
      pkcs1: chain('rsa', 'rsa.pkcs1'),
      sec1: chain('ec', 'ec.key'),
      stranger: chain('stranger', 'stranger.key'),
      self: { chain: read('self.pem'), key: read('self.key') },
    },
  };
}
