import { Controller, Get, Inject } from "@nestjs/common";
import { CONFIG, type Config } from "../config.js";

@Controller("version")
export class VersionController {
  constructor(@Inject(CONFIG) private readonly config: Config) {}

  @Get()
  version(): Pick<Config, "version" | "release" | "commit"> {
    const { version, release, commit } = this.config;
    return { version, release, commit };
  }
}
