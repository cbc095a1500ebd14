import { Controller, Get, ServiceUnavailableException } from "@nestjs/common";
import { DropStore } from "../drops/drop-store.js";

@Controller("health")
export class HealthController {
  constructor(private readonly store: DropStore) {}

  /** 200 when this task can serve requests; 503 while its database does not answer. */
  @Get()
  async health(): Promise<{ status: string; db: string }> {
    const db = await this.store.database();
    if (db === "down") throw new ServiceUnavailableException({ status: "failing", db });
    return { status: "ok", db };
  }
}
