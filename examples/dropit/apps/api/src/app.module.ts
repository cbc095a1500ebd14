import { type DynamicModule, Inject, Module, type OnApplicationShutdown } from "@nestjs/common";
import { CONFIG, type Config } from "./config.js";
import { DropStore } from "./drops/drop-store.js";
import { DropsController } from "./drops/drops.controller.js";
import { MemoryDropStore } from "./drops/memory-drop-store.js";
import { PostgresDropStore } from "./drops/postgres-drop-store.js";
import { HealthController } from "./health/health.controller.js";
import { VersionController } from "./version/version.controller.js";

@Module({})
export class AppModule implements OnApplicationShutdown {
  constructor(@Inject(DropStore) private readonly store: DropStore) {}

  static with(config: Config): DynamicModule {
    const store = config.databaseUrl ? new PostgresDropStore(config.databaseUrl) : new MemoryDropStore();
    return {
      module: AppModule,
      controllers: [DropsController, HealthController, VersionController],
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: DropStore, useValue: store },
      ],
    };
  }

  // Nest calls this after the HTTP server has finished its last request.
  async onApplicationShutdown(): Promise<void> {
    await this.store.close();
  }
}
