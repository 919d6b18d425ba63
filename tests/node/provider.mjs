// An OAuth and OpenID provider for the tests: the npm package `oidc-provider`, in memory, on loopback.
//
//   node provider.mjs FOLDER < settings.json        FOLDER has node_modules; settings: see provider.py
//
// It prints {"issuer": ...} when it listens. Whoever the login hint names is signed in and consents:
// what a person would click is the one thing here that is not real.

import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const entry = join(process.argv[2], 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { default: Provider } = await import(pathToFileURL(entry).href);
const settings = JSON.parse(await text(process.stdin));

const server = createServer();
await new Promise((listening) => server.listen(settings.port, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks: { keys: settings.keys },
  cookies: { keys: ['only for tests'] },
  clients: settings.clients,
  scopes: ['openid', 'offline_access', ...settings.scopes],
  pkce: { required: (_, client) => client.clientAuthMethod === 'none' },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        audience: resource,
        scope: settings.scopes.join(' '),
        accessTokenTTL: settings.seconds,
        accessTokenFormat: settings.format,
        jwt: { sign: { alg: settings.algorithm } },
      }),
    },
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
});

async function answered(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    const login = { accountId: params.login_hint ?? 'nobody' };
    return provider.interactionFinished(request, response, { login });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope((prompt.details.missingOIDCScope ?? []).join(' '));
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  const consent = { grantId: await grant.save() };
  return provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

const serve = provider.callback();
server.on('request', (request, response) => {
  if (!request.url.startsWith('/interaction/')) return serve(request, response);
  return answered(request, response).catch((error) => response.writeHead(500).end(String(error)));
});
process.stdout.write(`${JSON.stringify({ issuer })}\n`);
