// A certified identity provider on a free port: node oidc-provider.mjs FOLDER REDIRECT_URI
//
// FOLDER is where npm installed `oidc-provider`. Whoever signs in as NAME is the subject NAME with that
// e-mail address, which is verified unless it begins with `unverified`. Says where it is on standard
// output, and ends with its standard input.

import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [folder, redirect] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${folder}/node_modules/oidc-provider/lib/index.js`));

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'gitfaas', client_secret: 'of-gitfaas', redirect_uris: [redirect] }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'] },
    pkce: { required: () => true },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: id, email_verified: !id.startsWith('unverified') }),
    }),
  });
  server.on('request', provider.callback());
  console.log(`ready ${issuer}`);
});
process.stdin.resume().on('end', () => process.exit(0));
