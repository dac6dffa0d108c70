// An authorization server for tests/e2e: it rotates, and one spent refresh token ends the grant.
//
// usage: node issuer.mjs REFRESH_TOKEN, then `GET /` tells {"port", "refreshes", "reused"};
// `GET /?after=3000` tells it after so many milliseconds

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";

const grant = { current: process.argv[2], refreshes: 0, reused: false };

const server = createServer(async (request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
  if (request.method !== "POST") {
    await setTimeout(Number(new URL(request.url, "http://x").searchParams.get("after")));
    const { refreshes, reused } = grant;
    return answer(200, { port: server.address().port, refreshes, reused });
  }
  let body = "";
  for await (const piece of request) body += piece;
  if (new URLSearchParams(body).get("refresh_token") !== grant.current) grant.reused = true;
  if (grant.reused) return answer(400, { error: "invalid_grant" });
  grant.current = randomUUID();
  grant.refreshes += 1;
  answer(200, {
    access_token: randomUUID(),
    token_type: "Bearer",
    expires_in: 10,
    refresh_token: grant.current,
  });
});

server.listen(0, "0.0.0.0", () => console.log(server.address().port));
