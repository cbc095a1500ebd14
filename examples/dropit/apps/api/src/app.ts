// Puts the application together, without starting it: main.ts listens, the tests do too.
import type { Server } from "node:http";
import { ConsoleLogger } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import type { NestExpressApplication } from "@nestjs/platform-express";
import type { NextFunction, Request, Response } from "express";
import { AppModule } from "./app.module.js";
import type { Config } from "./config.js";

// Longer than a proxy keeps an unused connection, so that it is never us who close it under a request.
const KEEP_ALIVE_MS = 75_000;

export async function createApp(config: Config): Promise<NestExpressApplication> {
  const logger = new ConsoleLogger({ colors: false, logLevels: ["warn", "error", "fatal"] });
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(config), { logger });
  app.setGlobalPrefix("api");
  app.disable("x-powered-by");
  app.enableCors(); // the web page lives on another host; there are no cookies to protect
  finishConnectionsOnShutdown(app);
  app.enableShutdownHooks([], { useProcessExit: true }); // exit 0 after a clean stop, instead of dying of the signal
  return app;
}

// On SIGTERM Nest stops listening and waits for the connections to end. A connection that was busy at that moment would
// stay open for its whole keep-alive time afterwards; this lets it end with its last answer.
function finishConnectionsOnShutdown(app: NestExpressApplication): void {
  const server = app.getHttpServer() as Server;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  app.use((_req: Request, res: Response, next: NextFunction) => {
    if (!server.listening) res.setHeader("connection", "close");
    res.once("close", () => {
      if (!server.listening) setImmediate(() => server.closeIdleConnections());
    });
    next();
  });
}
