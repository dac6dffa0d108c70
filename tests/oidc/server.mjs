// A certified authorization server (oidc-provider) for the tests, on loopback.
//
// usage: node server.mjs '{"accessTokenLifetime": 5, "rotate": true, "clients": [...]}'
//
// It speaks JSON lines on standard output: first {"event":"listening","issuer":…}, then one per
// event, with the reason that the wire does not tell. It ends when its standard input does, so
// that it never outlives the test that started it.

import { createServer } from "node:http";
import Provider from "oidc-provider";

const options = {
  accessTokenLifetime: 3600,
  deviceCodeLifetime: 600,
  refreshTokenLifetime: 14 * 24 * 3600,
  rotate: true,
  jwt: false,
  offline: "give", // or "forget": promised in the scope only; or "ignore": not known at all
  par: "lack", // or "offer", or "require" (RFC 9126)
  clients: [],
  ...JSON.parse(process.argv[2] ?? "{}"),
};

const tell = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }));

// The adapter that oidc-provider brings forgets after 1000 entries, over all its models.
class Shelf {
  static all = new Map();
  static grants = new Map();

  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    const ends = expiresIn ? Date.now() + expiresIn * 1000 : Infinity;
    Shelf.all.set(this.key(id), { payload, ends });
    if (payload.grantId) {
      const keys = Shelf.grants.get(payload.grantId) ?? new Set();
      Shelf.grants.set(payload.grantId, keys.add(this.key(id)));
    }
  }

  async find(id) {
    const found = Shelf.all.get(this.key(id));
    return found && Date.now() < found.ends ? found.payload : undefined;
  }

  findWhere(test) {
    const own = [...Shelf.all].filter(([key]) => key.startsWith(`${this.model}:`));
    const found = own.find(([, { payload, ends }]) => test(payload) && Date.now() < ends);
    return found?.[1].payload;
  }

  async findByUid(uid) {
    return this.findWhere((payload) => payload.uid === uid);
  }

  async findByUserCode(code) {
    return this.findWhere((payload) => payload.userCode === code);
  }

  async consume(id) {
    const found = Shelf.all.get(this.key(id));
    if (found) found.payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    Shelf.all.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const key of Shelf.grants.get(grantId) ?? []) Shelf.all.delete(key);
    Shelf.grants.delete(grantId);
  }
}

const scopes = ["openid", "offline_access", "crm.read"].filter(
  (scope) => scope !== "offline_access" || options.offline !== "ignore",
);

const configuration = {
  adapter: Shelf,
  clients: options.clients,
  clockTolerance: 0,
  cookies: { keys: ["practice"] },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    // Access tokens are JWTs where they are meant for a resource of its own (RFC 9068).
    resourceIndicators: {
      enabled: true,
      defaultResource: () => (options.jwt ? "urn:practice:api" : undefined),
      getResourceServerInfo: () => ({
        scope: scopes.join(" "),
        accessTokenFormat: "jwt",
        accessTokenTTL: options.accessTokenLifetime,
      }),
      useGrantedResource: () => true,
    },
    pushedAuthorizationRequests: {
      enabled: options.par !== "lack",
      requirePushedAuthorizationRequests: options.par === "require",
    },
    revocation: { enabled: true },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: async (_, client, source) =>
    options.offline === "give" &&
    client.grantTypeAllowed("refresh_token") &&
    source.scopes.has("offline_access"),
  pkce: { required: () => true },
  rotateRefreshToken: options.rotate,
  scopes,
  ttl: {
    AccessToken: () => options.accessTokenLifetime,
    DeviceCode: () => options.deviceCodeLifetime,
    Grant: () => options.refreshTokenLifetime,
    IdToken: () => 3600,
    Interaction: () => 3600,
    RefreshToken: () => options.refreshTokenLifetime,
    Session: () => options.refreshTokenLifetime,
  },
};

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.on("grant.success", (ctx) =>
    tell("grant.success", { grant_type: ctx.oidc.params?.grant_type }),
  );
  provider.on("grant.error", (_, error) =>
    tell("grant.error", { error: error.error, detail: error.error_detail }),
  );
  provider.on("grant.revoked", () => tell("grant.revoked"));
  provider.on("access_token.issued", () => tell("access_token.issued"));
  provider.on("refresh_token.consumed", () => tell("refresh_token.consumed"));
  provider.on("server_error", (_, error) => tell("server_error", { error: String(error) }));
  server.on("request", provider.callback());
  tell("listening", { issuer });
});

process.stdin.on("end", () => process.exit(0)).resume();
