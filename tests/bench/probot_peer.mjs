// The peer of bench_webhooks: the smallest Probot app. It verifies each delivery, hands it to a listener that does
// nothing, and acknowledges; it keeps nothing. Arguments: port, webhook secret.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , folder, port, secret] = process.argv;
const found = createRequire(`${folder}/`).resolve("probot");
const { createNodeMiddleware, createProbot } = await import(pathToFileURL(found));
const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});
const probot = createProbot({ overrides: { appId: 1, privateKey, secret, logLevel: "fatal" } });
const middleware = await createNodeMiddleware((app) => app.onAny(() => {}), {
  probot,
  webhooksPath: "/webhooks/github",
});
createServer(async (request, response) => {
  if (!(await middleware(request, response))) response.writeHead(404).end();
}).listen(Number(port), "127.0.0.1");
