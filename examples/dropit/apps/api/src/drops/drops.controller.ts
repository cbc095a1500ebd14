import { BadRequestException, Body, Controller, Get, NotFoundException, Param, Post } from "@nestjs/common";
import { type Drop, isDropId, newDropId, parseNewDrop } from "./drop.js";
import { DropStore } from "./drop-store.js";

@Controller("drops")
export class DropsController {
  constructor(private readonly store: DropStore) {}

  @Post()
  async create(@Body() body: unknown): Promise<Drop> {
    const parsed = parseNewDrop(body);
    if ("problems" in parsed) throw new BadRequestException(parsed.problems);
    const drop: Drop = { id: newDropId(), ...parsed.drop, createdAt: new Date().toISOString() };
    await this.store.create(drop);
    return drop;
  }

  @Get()
  list(): Promise<Drop[]> {
    return this.store.list();
  }

  @Get(":id")
  async get(@Param("id") id: string): Promise<Drop> {
    const drop = isDropId(id) ? await this.store.get(id) : undefined;
    if (!drop) throw new NotFoundException("there is no such drop");
    return drop;
  }
}
