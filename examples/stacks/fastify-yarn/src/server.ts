import Fastify from 'fastify';

const app = Fastify({ logger: true });
app.get('/', async () => 'fastify\n');
process.on('SIGTERM', () => void app.close());
await app.listen({ port: Number(process.env.PORT ?? 3000), host: '0.0.0.0' });
